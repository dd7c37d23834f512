from lib_upscale.models.formats.checkpoint import Checkpoint as Checkpoint
from lib_upscale.models.formats.checkpoint import CheckpointFormat as CheckpointFormat
from lib_upscale.models.formats.checkpoint import Container as Container
from lib_upscale.models.formats.checkpoint import TensorInfo as TensorInfo
from lib_upscale.models.formats.checkpoint import UnsupportedContainerError as UnsupportedContainerError
from lib_upscale.models.formats.reader import FORMATS as FORMATS
from lib_upscale.models.formats.reader import read_checkpoint as read_checkpoint
