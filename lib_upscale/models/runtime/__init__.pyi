from lib_upscale.models.runtime.backends import accelerator as accelerator
from lib_upscale.models.runtime.loader import load_network as load_network
from lib_upscale.models.runtime.measurements import MeasurementStore as MeasurementStore
from lib_upscale.models.runtime.model import Model as Model
from lib_upscale.models.runtime.model_cache import ModelCache as ModelCache
