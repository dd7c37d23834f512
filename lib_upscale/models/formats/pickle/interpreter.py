"""Reads pickles that torch wrote, without executing them.

A pickle is a program for a small stack machine, and two of its instructions (fetch a global, call it) are all that an
attacker needs. This machine has neither: a global is a name that is looked up in a table and never imported, and a
call of one builds a description of a tensor, a plain container or a placeholder that does nothing. Whatever is not in
the table ends the reading.

Libraries that run nothing either, and what would be lost with them:

- A subclass of `pickle.Unpickler` whose `find_class` gives placeholders: 33 lines, and five times as fast (5 ms against
  27 ms for 690 tensors). Nested tuples as a key end the whole process (segmentation fault), and nothing bounds what a
  pickle copies or how many of its keys have one hash: a file of a few kilobytes can take all memory, or hours.
- `torch.load(weights_only=True)`: the process ends by the same key. It needs torch for a listing, and refuses files
  that hold a training program's objects together with the weights. Until torch 2.6 it could be made to run code
  (CVE-2025-32434).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib_upscale.models.formats.pickle.execute import execute
from lib_upscale.models.formats.pickle.machine import Machine
from lib_upscale.models.formats.pickle.values import DamagedPickleError, UnsafePickleError

__all__ = ["MAX_BYTES", "Reading", "interpret"]

MAX_BYTES = 64 << 20
"""The largest pickle that is read; those of real checkpoints have 0.1 MB."""


@dataclass(frozen=True)
class Reading:
    """What one pickle says."""

    value: Any
    """Plain containers, `TensorRef`, `StorageRef` and `Opaque`."""
    end: int
    """The position behind it."""
    names: frozenset[str]
    """The globals that it mentions, "module.name"."""
    storages: Mapping[str, tuple[str | None, int]]
    """Every storage that it mentions: key -> type and number of elements."""


def interpret(data: bytes, position: int = 0) -> Reading:
    """Read the pickle that begins at `position`.

    Raises:
        UnsafePickleError: It asks for a global that has no business in a file of weights.
        TruncatedPickleError: The bytes end before it does.
        DamagedPickleError: It is no pickle of tensors. Whatever the bytes are, no other error is raised.
    """
    machine = Machine(data, position)
    try:
        value = execute(machine)
    except (DamagedPickleError, UnsafePickleError):
        raise
    except (LookupError, struct.error, ValueError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise DamagedPickleError("a pickle that contradicts itself") from error
    names = frozenset(known.name for known in machine.globals.values())
    return Reading(value, machine.position, names, machine.storages)
