from lib_upscale.upscaling.plan import NetworkPass as NetworkPass
from lib_upscale.upscaling.plan import UpscalePlan as UpscalePlan
from lib_upscale.upscaling.plan import plan_upscale as plan_upscale
from lib_upscale.upscaling.run import UpscaleResult as UpscaleResult
from lib_upscale.upscaling.run import plan_and_upscale as plan_and_upscale
from lib_upscale.upscaling.run import upscale as upscale
