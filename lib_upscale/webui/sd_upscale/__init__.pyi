from lib_upscale.webui.sd_upscale.identity import host_identity as host_identity
from lib_upscale.webui.sd_upscale.job import RedrawJob as RedrawJob
from lib_upscale.webui.sd_upscale.job import install as install
from lib_upscale.webui.sd_upscale.job import run as run
from lib_upscale.webui.sd_upscale.page import RedrawPage as RedrawPage
from lib_upscale.webui.sd_upscale.request import RedrawRequest as RedrawRequest
from lib_upscale.webui.sd_upscale.source import Source as Source
