"""Brings the networks of the package resselt into spandrel's form: those that spandrel does not have."""

from lib_upscale._exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
