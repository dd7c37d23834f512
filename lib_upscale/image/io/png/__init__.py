"""PNG with 16 bits and all chunks, in little memory. The public names stand in `__init__.pyi`."""

from lib_upscale._exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
