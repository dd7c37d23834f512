"""What is relied on of the WebUI's objects: a new WebUI is supported where it has this.

Attributes that only some WebUIs have are not in here: they are asked for with `getattr` where they are used, or stand
in `environment`. Methods that are replaced for one run are attributes, so that they can be set.
"""

from lib_upscale._exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
