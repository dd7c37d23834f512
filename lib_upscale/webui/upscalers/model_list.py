"""The upscaler models of this WebUI: in which folders they are, and which there are."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lib_upscale.errors import ModelFileError, UnknownModelError
from lib_upscale.models.catalog.catalog import Catalog, Entry
from lib_upscale.models.model_files import file_fingerprint, folder_time
from lib_upscale.progress import Callback
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.webui.host import console, environment
from lib_upscale.webui.host.upscalers import scaler_folders
from lib_upscale.webui.upscalers import settings_page

__all__ = ["ModelList"]

_FAMILIES = ("ESRGAN", "RealESRGAN", "SwinIR", "ScuNET", "DAT", "HAT", "GFPGAN", "BSRGAN", "upscale_models")
"""Folders below `models` where people keep upscalers, whether or not this host lists any from there."""
_NOT_UPSCALERS = frozenset({"codeformer_models_path", "ldsr_models_path", "clip_models_path"})
"""Arguments of the command line that name folders of other models."""
_PATIENCE = 10.0
"""Seconds that the start of the WebUI waits for new files to be identified."""
_SAID_EVERY = 3.0
"""Seconds between two lines in the console."""
_LOOSE_ENDINGS = (".pth", ".pt", ".safetensors", ".ckpt", ".bin")


class _ConsoleReport:
    """Says in the console how far a long reading of the folders is, now and then."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def report(self, _: float, text: str) -> None:
        """Take note of what is being done."""
        if time.monotonic() - self._said > _SAID_EVERY:
            self._said = time.monotonic()
            console.say(text)


class ModelList:
    """The models in the host's folders, in those of the command line and in those of the settings page."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._catalog: Catalog | None = None
        self._loose: tuple[Entry, ...] = ()
        """Models in `models` itself, beside its folders: old WebUIs had GFPGAN's there. The catalog lacks them."""
        self._loose_problems: tuple[str, ...] = ()
        self._missing: list[str] = []
        """What was said in the console of folders that do not exist."""
        self._start: threading.Thread | None = None
        self._root_time: int | None = None
        """When a file was last added to or removed from `models` itself, in nanoseconds."""

    @property
    def catalog(self) -> Catalog:
        """The files in the folders that are set now."""
        with self._lock:
            folders = _model_folders()
            is_new = self._catalog is None or self._catalog.folders != folders
            if is_new:
                self._catalog = Catalog(folders, cache=environment.cache_path() / "identities.json")
            catalog = self._catalog
        assert catalog is not None
        if is_new and not self.is_starting:
            self._read_loose_files(catalog)
        return catalog

    @property
    def is_starting(self) -> bool:
        """Whether new files are still being identified for the first time: the list is not complete."""
        return self._start is not None and self._start.is_alive()

    def start(self, then: Callable[[], None]) -> None:
        """Read the folders for the first time. New files that take longer are identified in the background.

        Args:
            then: Called when that has come to its end.
        """

        def read() -> None:
            try:
                self.refresh()
                # Not after "Reload UI", which has begun anew.
                if late.is_set() and self._start is threading.current_thread():
                    self._start = None
                    then()
            except Exception:
                console.report("the model files could not be read")

        late = threading.Event()
        self._start = threading.Thread(target=read, daemon=True)
        self._start.start()
        self._start.join(_PATIENCE)
        if self._start.is_alive():
            late.set()
            console.say("the page opens meanwhile, the lists are filled when all model files are identified")

    def refresh(self, *, only_if_changed: bool = False) -> bool:
        """Read the folders again, and return whether that was done.

        Args:
            only_if_changed: Do so only if a file was added or removed, which is quickly seen.
        """
        catalog = self.catalog
        root_time = folder_time(environment.models_path())
        if only_if_changed and catalog.seems_unchanged() and root_time == self._root_time:
            return False
        self._root_time = root_time
        catalog.refresh(Callback(_ConsoleReport().report))
        self._read_loose_files(catalog)
        missing = _missing_folders()
        for problem in missing:
            if problem not in self._missing:
                console.say(problem)
        self._missing = missing
        return True

    def forget(self) -> None:
        """Read everything anew when it is next asked for."""
        with self._lock:
            self._catalog = self._start = None

    def entries(self) -> tuple[Entry, ...]:
        """Return every file that may be a model, usable or not."""
        return (*self._listed(), *self._loose)

    def upscalers(self) -> tuple[Entry, ...]:
        """Return what can enlarge or clean an image, by name."""
        return tuple(entry for entry in self.entries() if entry.identity.usable)

    def problems(self) -> list[str]:
        """Return what is wrong, and what to do, with each file among the upscalers that is not one, and each folder."""
        from lib_upscale.models.identification.identifier import problem_of

        unusable = [entry for entry in self._listed() if not entry.identity.usable]
        # Models that restore faces belong in models/GFPGAN.
        misplaced = [entry for entry in unusable if "GFPGAN" not in entry.path.parts]
        problems = (str(problem_of(entry.identity)) for entry in misplaced)
        return [*_missing_folders(), *problems, *self._loose_problems]

    def find(self, name: str) -> Entry:
        """Return the usable model of that name, or of that path.

        Raises:
            UnknownModelError: There is none.
            ModelFileError: What is wrong with its file.
        """
        loose = next((entry for entry in self._loose if entry.name == name), None)
        return loose or self.catalog.find(name)

    def find_listed(self, name: str) -> Entry:
        """Return the usable model of that name; unlike `find`, never a file elsewhere, even if `name` is its path."""
        is_listed = any(entry.name == name for entry in self.entries())
        if not is_listed and ("/" in name or "\\" in name or os.path.isfile(name)):  # noqa: PTH113
            raise UnknownModelError(name, (), "names are as GET /upscale-plus/v1/models lists them")
        return self.find(name)

    def fingerprint(self, name: str) -> tuple[int, ...]:
        """Return what changes when the file of the model of that name does."""
        path = next((entry.path for entry in self.entries() if entry.name == name), None)
        return (file_fingerprint(path) if path is not None else None) or ()

    def with_paths(self, settings: UpscaleSettings) -> UpscaleSettings:
        """Name models that the catalog lacks by their paths, by which it finds them."""
        paths = {entry.name: str(entry.path) for entry in self._loose}
        return settings.with_models(lambda name: paths.get(name, name)) if paths else settings

    def _listed(self) -> tuple[Entry, ...]:
        return self.catalog.known if self.is_starting else self.catalog.entries()

    def _read_loose_files(self, catalog: Catalog) -> None:
        taken = {entry.name for entry in catalog.entries()}
        entries, problems = [], []
        for path in _list_files(environment.models_path()):
            try:
                entry = catalog.find(str(path))
            except ModelFileError as error:
                problems.append(str(error))
                continue
            name = f"{entry.name} (models)" if entry.name in taken else entry.name
            entries.append(Entry(name, entry.path, entry.identity))
        self._loose, self._loose_problems = tuple(entries), tuple(problems)


def _model_folders() -> tuple[Path, ...]:
    flags = environment.command_line_options().items()
    flagged = [Path(str(value)) for flag, value in flags if value and _is_for_upscalers(flag)]
    below = [environment.models_path() / family for family in _FAMILIES]
    return tuple(dict.fromkeys([*below, *flagged, *scaler_folders(), *settings_page.folders()]))


def _missing_folders() -> list[str]:
    """What is wrong with each folder of the settings page that does not exist."""
    missing = [folder for folder in settings_page.folders() if not os.path.isdir(folder)]  # noqa: PTH112 (never raises)
    return [f"the folder {folder} does not exist: correct it in the settings of Upscale Plus" for folder in missing]


def _is_for_upscalers(flag: str) -> bool:
    return flag.endswith("_models_path") and flag not in _NOT_UPSCALERS


def _list_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in _LOOSE_ENDINGS and path.is_file())
    except OSError:
        return []
