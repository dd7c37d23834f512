from lib_upscale.image.io.png.apng import ApngWriter as ApngWriter
from lib_upscale.image.io.png.chunks import PngError as PngError
from lib_upscale.image.io.png.reader import read_metadata as read_metadata
from lib_upscale.image.io.png.reader import read_png as read_png
from lib_upscale.image.io.png.writer import write_png as write_png
