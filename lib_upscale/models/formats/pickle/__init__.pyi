from lib_upscale.models.formats.pickle.interpreter import Reading as Reading
from lib_upscale.models.formats.pickle.interpreter import interpret as interpret
from lib_upscale.models.formats.pickle.values import DamagedPickleError as DamagedPickleError
from lib_upscale.models.formats.pickle.values import Opaque as Opaque
from lib_upscale.models.formats.pickle.values import StorageRef as StorageRef
from lib_upscale.models.formats.pickle.values import TensorRef as TensorRef
from lib_upscale.models.formats.pickle.values import TruncatedPickleError as TruncatedPickleError
from lib_upscale.models.formats.pickle.values import UnsafePickleError as UnsafePickleError
