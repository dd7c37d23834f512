"""Replace something of the host for a while, so that nothing outlives the run it was replaced for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lib_upscale.webui.host import environment

__all__ = ["option_set", "replaced"]


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """An attribute of an object, a module or a class has another value while this lasts.

    What an object inherits from its class is hidden for as long and is seen again afterwards.

    Args:
        owner: What has the attribute.
        name: The attribute. It need not exist yet.
        value: Its value for the while.
    """
    attributes = vars(owner)
    had, before = name in attributes, attributes.get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if had:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


@contextmanager
def option_set(key: str, value: object) -> Iterator[None]:
    """A setting of the host's settings page has another value while this lasts; it is not saved.

    Args:
        key: The setting's name in `shared.opts`.
        value: Its value for the while.
    """
    data = environment.opts().data
    had, before = key in data, data.get(key)
    data[key] = value
    try:
        yield
    finally:
        if had:
            data[key] = before
        else:
            data.pop(key, None)
