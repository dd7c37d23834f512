"""Upscale Plus: any upscaler model, any image, without seams.

The public names stand in `__init__.pyi`. Each is imported when it is first asked for, so that importing the package
costs nothing and a listing of models needs no torch.
"""

from lib_upscale._exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
