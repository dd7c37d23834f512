"""The start."""


def imports():
    """What takes long."""


def initialize():
    """Read scripts, then make the list of upscalers."""
    initialize_rest()


def initialize_rest(*, reload_script_modules=False):
    """Also when the page is reloaded."""
    from modules import modelloader, scripts

    scripts.load_scripts()
    modelloader.load_upscalers()
