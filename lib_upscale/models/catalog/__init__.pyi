from lib_upscale.models.catalog.bundled import DEFAULT_MODEL as DEFAULT_MODEL
from lib_upscale.models.catalog.bundled import BundledModel as BundledModel
from lib_upscale.models.catalog.bundled import bundled_models as bundled_models
from lib_upscale.models.catalog.catalog import Catalog as Catalog
from lib_upscale.models.catalog.catalog import Entry as Entry
from lib_upscale.models.catalog.identity_cache import IdentityCache as IdentityCache
