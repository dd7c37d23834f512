"""The models of this WebUI, listed and loaded, and the one way pictures go through them here."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from lib_upscale.errors import ModelFileError, OutOfMemoryError, UnknownModelError
from lib_upscale.image.geometry import Size
from lib_upscale.image.picture import Picture
from lib_upscale.models.catalog.catalog import Catalog, Entry
from lib_upscale.models.library import Models
from lib_upscale.models.model_files import file_fingerprint
from lib_upscale.models.runtime.measurements import MeasurementStore
from lib_upscale.models.runtime.model_cache import ModelCache
from lib_upscale.progress import SILENT, Progress
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.upscaling.plan import UpscalePlan, plan_upscale
from lib_upscale.upscaling.run import UpscaleResult, plan_and_upscale
from lib_upscale.webui.host import environment, jobs
from lib_upscale.webui.host.model import give_memory_back, make_room, upscaler_device
from lib_upscale.webui.upscalers import settings_page as options

__all__ = ["Engine", "engine"]

_FAMILIES = ("ESRGAN", "RealESRGAN", "SwinIR", "ScuNET", "DAT", "HAT", "GFPGAN", "BSRGAN", "upscale_models")
"""Folders below `models` where people keep upscalers."""

_NOT_UPSCALERS = frozenset({"codeformer_models_path", "ldsr_models_path", "clip_models_path"})

_CACHE = Path(__file__).resolve().parents[3] / "private" / "cache"
_PLANNED_FOR = 20.0
"""Seconds for which a model that was loaded for a plan stays on a graphics card."""
_LOOSE = (".pth", ".pt", ".safetensors", ".ckpt", ".bin")


class Engine:
    """What there is and what is loaded. One for the whole process, whatever is reloaded."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._catalog: Catalog | None = None
        self._model_cache: ModelCache | None = None
        self._timer: threading.Timer | None = None
        self._loose: tuple[Entry, ...] = ()
        self._loose_problems: tuple[str, ...] = ()

    @property
    def catalog(self) -> Catalog:
        """The files in the folders of now."""
        with self._lock:
            wanted = model_folders()
            if self._catalog is None or self._catalog.folders != wanted:
                self._catalog = Catalog(wanted, cache=_CACHE / "identities.json")
                self._look_for_loose_files()
            return self._catalog

    @property
    def models(self) -> Models:
        """What the library is given."""
        with self._lock:
            if self._model_cache is None:
                store = MeasurementStore(_CACHE / "notes.json")
                self._model_cache = ModelCache(upscaler_device(), max_models=options.most_models(), measurements=store)
            return Models(self.catalog, self._model_cache)

    def refresh(self) -> None:
        """Read the folders again."""
        self.catalog.refresh()
        self._look_for_loose_files()

    def entries(self) -> tuple[Entry, ...]:
        """Every file that may be a model, usable or not."""
        return (*self.catalog.entries(), *self._loose)

    def upscalers(self) -> tuple[Entry, ...]:
        """What can enlarge or clean a picture, by name."""
        return tuple(entry for entry in self.entries() if entry.identity.usable)

    def problems(self) -> list[str]:
        """Of each file that lies among the upscalers and is none: what is wrong and what to do."""
        from lib_upscale.models.identification.identifier import problem_of

        # Models that restore faces are at home in models/GFPGAN.
        strange = [e for e in self.catalog.entries() if not e.identity.usable and "GFPGAN" not in e.path.parts]
        return [*(str(problem_of(entry.identity)) for entry in strange), *self._loose_problems]

    def known(self, name: str) -> Entry:
        """The usable model of that name among the listed ones; never a file elsewhere, even if `name` is its path.

        Raises `UnknownModelError`, or what is wrong with the file that is meant.
        """
        entries = self.entries()
        if not any(entry.name == name for entry in entries) and ("/" in name or "\\" in name or _is_file(name)):
            raise UnknownModelError(name, (), "names are as GET /upscale-plus/v1/models lists them")
        return self.find(name)

    def find(self, name: str) -> Entry:
        """The usable model of that name. Raises `UnknownModelError` or what is wrong with its file."""
        loose = next((entry for entry in self._loose if entry.name == name), None)
        return loose or self.catalog.find(name)

    def plan(self, size: Size, settings: UpscaleSettings) -> UpscalePlan:
        """What would be done. Models are loaded for it unless a job is running, which needs the memory."""
        job = plan_upscale(size, self._with_paths(settings), self.models, load=not jobs.is_busy())
        if not jobs.is_busy() and self.models.cache.device.type != "cpu":
            self._let_go_soon()
        return job

    def plan_size(self, size: Size, settings: UpscaleSettings) -> Size:
        """The size of the result alone; loads nothing."""
        return plan_upscale(size, self._with_paths(settings), self.models, load=False).output

    def fingerprint(self, name: str) -> tuple[int, ...]:
        """What changes when the file of the model of that name does."""
        path = next((entry.path for entry in self.entries() if entry.name == name), None)
        return (file_fingerprint(path) if path is not None else None) or ()

    def run(self, picture: Image.Image, settings: UpscaleSettings, progress: Progress = SILENT) -> Image.Image:
        """A larger picture, as the settings say. Raises `UpscalePlusError`."""
        return self.upscale(Picture.from_pil(picture), settings, progress).picture.to_pil()

    def upscale(self, picture: Picture, settings: UpscaleSettings, progress: Progress = SILENT) -> UpscaleResult:
        """`lib_upscale.upscaling.run.plan_and_upscale` with this WebUI's models, after making room for them."""
        make_room()
        try:
            return plan_and_upscale(picture, self._with_paths(settings), self.models, progress)
        except MemoryError as error:
            raise OutOfMemoryError(
                f"The result does not fit into memory ({error})", "choose a smaller target"
            ) from error

    def after_job(self) -> None:
        """Let the models go, unless they are to be kept."""
        if self._model_cache is not None and not options.keeps_models():
            self._model_cache.clear()
            give_memory_back()

    def _let_go_soon(self) -> None:
        """Let the models of a plan go when no other plan has come for a moment: a slider asks for one at each step."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(_PLANNED_FOR, self._let_go)
            self._timer.daemon = True
            self._timer.start()

    def _let_go(self) -> None:
        if jobs.is_busy():
            self._let_go_soon()  # it may be ours, which lets them go at its end
        else:
            self.after_job()

    def forget(self) -> None:
        """Let everything go; the next question begins anew."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._model_cache is not None:
                self._model_cache.clear()
                give_memory_back()
            self._model_cache = None
            self._catalog = None

    def forget_models(self) -> None:
        """Let loaded models go, as after a change of the settings that concern them."""
        with self._lock:
            if self._model_cache is not None:
                self._model_cache.clear()
                give_memory_back()
            self._model_cache = None

    def _with_paths(self, settings: UpscaleSettings) -> UpscaleSettings:
        """Models that the catalog does not list, because they lie in `models` itself, by their path."""
        loose = {entry.name: str(entry.path) for entry in self._loose}
        if not loose:
            return settings
        return settings.changed(
            model=loose.get(settings.model, settings.model),
            second_model=loose.get(settings.second_model, settings.second_model),
            before=tuple(loose.get(name, name) for name in settings.before),
            after=tuple(loose.get(name, name) for name in settings.after),
        )

    def _look_for_loose_files(self) -> None:
        """Models that lie in the folder `models` itself, beside its folders: where old WebUIs had GFPGAN's."""
        assert self._catalog is not None
        found, problems = [], []
        for path in _files_in(environment.models_path()):
            try:
                found.append(self._catalog.find(str(path)))
            except ModelFileError as error:
                problems.append(str(error))
        taken = {entry.name for entry in self._catalog.entries()}
        self._loose = tuple(
            entry if entry.name not in taken else Entry(f"{entry.name} (models)", entry.path, entry.identity)
            for entry in found
        )
        self._loose_problems = tuple(problems)


engine = Engine()
"""The only one."""


def model_folders() -> tuple[Path, ...]:
    """Where upscalers are looked for: the host's folders, those on the command line, those in the settings."""
    flags = environment.command_line_options().items()
    flagged = [Path(str(value)) for key, value in flags if value and _names_upscalers(key)]
    below = [environment.models_path() / family for family in _FAMILIES]
    return tuple(_without_repeats([*below, *flagged, *options.folders()]))


def _names_upscalers(flag: str) -> bool:
    return flag.endswith("_models_path") and flag not in _NOT_UPSCALERS


def _without_repeats(paths: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(paths))


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in _LOOSE and path.is_file())
    except OSError:
        return []


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False
