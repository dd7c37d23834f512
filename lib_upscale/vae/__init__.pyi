from lib_upscale.vae.bands import Spill as Spill
from lib_upscale.vae.layers import read_decoder as read_decoder
from lib_upscale.vae.layers import read_encoder as read_encoder
from lib_upscale.vae.tiled import MARGIN as MARGIN
from lib_upscale.vae.tiled import decode as decode
from lib_upscale.vae.tiled import encode as encode
