from lib_upscale.models.identification.resselt.adapter import ResseltArchitecture as ResseltArchitecture
from lib_upscale.models.identification.resselt.fourier import FOURIER as FOURIER
from lib_upscale.models.identification.resselt.gated import GATED as GATED
from lib_upscale.models.identification.resselt.source import is_installed as is_installed
