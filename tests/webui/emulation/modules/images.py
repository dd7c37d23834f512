"""Pictures in and out."""

import os

from PIL import Image


def read(fp, **more):
    """Opened, not yet decoded."""
    return Image.open(fp, **more)


def read_info_from_image(image):
    """(parameters, everything else)."""
    items = dict(image.info)
    return items.pop("parameters", None), items


def save_image(image, path, basename, extension="png", info=None, forced_filename=None, existing_info=None, **more):
    """Over whatever is there."""
    os.makedirs(path, exist_ok=True)
    image.save(os.path.join(path, f"{forced_filename or basename or 'image'}.{extension}"))
    return path, None
