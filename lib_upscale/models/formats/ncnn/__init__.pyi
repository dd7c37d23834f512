from lib_upscale.models.formats.ncnn.reader import NCNN as NCNN
from lib_upscale.models.formats.ncnn.reader import is_ncnn as is_ncnn
from lib_upscale.models.formats.ncnn.reader import read_ncnn as read_ncnn
