from lib_upscale.image.io.tiff.reader import TiffHeader as TiffHeader
from lib_upscale.image.io.tiff.reader import read_deep_tiff as read_deep_tiff
from lib_upscale.image.io.tiff.reader import tiff_headers as tiff_headers
from lib_upscale.image.io.tiff.reader import tiff_metadata as tiff_metadata
from lib_upscale.image.io.tiff.samples import TiffError as TiffError
from lib_upscale.image.io.tiff.writer import write_tiff as write_tiff
from lib_upscale.image.io.tiff.writer import write_tiff_pages as write_tiff_pages
