"""The state of the pickle interpreter, and the checks on what enters it. Needs no torch."""

from __future__ import annotations

from typing import Any

from lib_upscale.models.formats.dtypes import STORAGE_CLASSES
from lib_upscale.models.formats.pickle.allowed_globals import KNOWN, Global, make_inert
from lib_upscale.models.formats.pickle.values import DamagedPickleError, StorageRef, TruncatedPickleError

__all__ = ["MAX_MARKS", "MAX_OPCODES", "Machine"]

MAX_OPCODES = 1_000_000
"""The largest checkpoints in use, with the state of their training, need a tenth of it."""
MAX_COPIED = MAX_OPCODES
"""Elements of containers that calls copy. A file that copies what it wrote once needs no more than it has instructions;
without a bound, ten bytes of it could copy the whole again, as often as there are instructions."""
MAX_MARKS = 256
MAX_NAME = 256
"""Letters of a global's module and name, which are joined at every fetching of a new one."""


class Machine:
    """The stack machine. Its values are plain containers and those of `values`, nothing else."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[tuple[str, str], Global] = {}
        self.storages: dict[str, tuple[str | None, int]] = {}
        self.sizes: dict[bytes, tuple[int, ...] | None] = {}
        self.copied = 0

    def take(self, count: int) -> bytes:
        """Take the next `count` bytes."""
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise TruncatedPickleError
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def take_sized(self, width: int) -> bytes:
        """Take bytes that follow their own length, an unsigned number of `width` bytes."""
        return self.take(int.from_bytes(self.take(width), "little"))

    def take_line(self) -> str:
        """Take the text up to the next newline."""
        end = self.data.find(b"\n", self.position, self.position + 1000)
        if end < 0:
            raise TruncatedPickleError
        text = self.data[self.position : end]
        self.position = end + 1
        return text.decode("utf-8")

    def pop_mark(self) -> list[Any]:
        """Pop what was pushed since the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def count_copy(self, content: object) -> None:
        """Count a container that is about to be copied. Raises `DamagedPickleError` where that is too much in all."""
        if type(content) in (dict, list):
            self.copied += len(content)  # type: ignore[arg-type]
            if self.copied > MAX_COPIED:
                raise DamagedPickleError("a pickle that copies its contents over and over")

    def refer_to_storage(self, reference: object) -> Any:
        """Describe the storage that a persistent id names: ("storage", class, key, device, elements[, window]).

        Before 1.6 torch named the classes of networks so too, with their source: ("module", class, file, text).
        """
        if type(reference) is tuple and len(reference) == 4 and reference[0] == "module":
            return reference[1]
        if type(reference) is not tuple or len(reference) < 5 or reference[0] != "storage":
            raise DamagedPickleError("a reference to something that is no storage")
        kind, key, numel = reference[1], reference[2], reference[4]
        if type(kind) is not Global or type(key) is not str or type(numel) is not int or numel < 0:
            raise DamagedPickleError("a storage without a description")
        if not kind.storage:
            raise DamagedPickleError(f"a storage of type {kind.name}, which is not supported")
        dtype = STORAGE_CLASSES[kind.name.rpartition(".")[2]]
        if self.storages.setdefault(key, (dtype, numel)) != (dtype, numel):
            raise DamagedPickleError("a storage with two descriptions")
        window = reference[5] if len(reference) > 5 else None
        if window is None:
            return StorageRef(key, dtype, numel)
        view_key, start, view_numel = window
        if type(view_key) is not str or type(start) is not int or type(view_numel) is not int:
            raise DamagedPickleError("a storage without a description")
        if start < 0 or view_numel < 0 or start + view_numel > numel:
            raise DamagedPickleError("a storage outside its file")
        return StorageRef(key, dtype, view_numel, start)

    def find_global(self, module: object, name: object) -> Global:
        """Describe a global. Raises `UnsafePickleError` for one that is neither known nor inert."""
        if type(module) is not str or type(name) is not str:
            raise DamagedPickleError("a global without a name")
        if len(module) + len(name) > MAX_NAME:
            raise DamagedPickleError("a global with an impossible name")
        key = (module, name)
        known = self.globals.get(key)
        if known is None:
            self.globals[key] = known = KNOWN.get(key) or make_inert(
                module, name, (earlier for earlier, _ in self.globals)
            )
        return known
