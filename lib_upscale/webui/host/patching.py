"""Replace something of the host for a while, or know something of its objects, so that nothing outlives a run."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from lib_upscale.webui.host import environment

__all__ = ["Marks", "option_set", "replaced"]

_T = TypeVar("_T")


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
    if hasattr(getattr(type(owner), name, None), "__set__"):  # a property keeps its value elsewhere
        had, before = True, getattr(owner, name)
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


class Marks(Generic[_T]):
    """What we know of some of the host's objects, without hanging it on them.

    A mark belongs to the object itself: equal objects and copies have none. It is forgotten with the object.
    """

    def __init__(self) -> None:
        self._marks: dict[int, tuple[weakref.ref[object], _T]] = {}

    def __len__(self) -> int:
        return len(self._marks)

    def put(self, owner: object, mark: _T) -> None:
        """Mark an object; a mark that it has is replaced."""
        key = id(owner)
        # The address may be another object's once this one is gone.
        self._marks[key] = weakref.ref(owner, lambda _: self._marks.pop(key, None)), mark

    def get(self, owner: object) -> _T | None:
        """The object's mark, if it has one."""
        reference, mark = self._marks.get(id(owner), (None, None))
        return mark if reference is not None and reference() is owner else None

    def take(self, owner: object) -> _T | None:
        """The object's mark, if it has one; it has none from then on."""
        mark = self.get(owner)
        if mark is not None:
            del self._marks[id(owner)]
        return mark
