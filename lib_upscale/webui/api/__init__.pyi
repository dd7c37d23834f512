from lib_upscale.webui.api.redraw import RedrawRequest as RedrawRequest
from lib_upscale.webui.api.schema import request_model as request_model
from lib_upscale.webui.api.schema import request_values as request_values
from lib_upscale.webui.api.upscale import UpscaleRequest as UpscaleRequest
