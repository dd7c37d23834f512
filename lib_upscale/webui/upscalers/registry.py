"""Publishes our models in the WebUI's list of upscalers: wherever the host offers one, ours are offered.

Entries are put into the host's list and taken out again; no class of ours is among the host's subclasses, so that
nothing is left behind where the extension is disabled, and hosts that know only classes of their own list it too.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from lib_upscale.errors import CancelledError, ModelFileError, UnknownModelError, UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.models.catalog.catalog import Entry
from lib_upscale.webui.host import console, jobs
from lib_upscale.webui.host.protocols import HostUpscalerEntry
from lib_upscale.webui.host.upscalers import download, is_host_scaler, list_upscalers, load_network, new_entry
from lib_upscale.webui.upscalers import settings_page, timings
from lib_upscale.webui.upscalers.engine import engine, model_list

__all__ = ["Scaler", "check", "is_run_by_us", "names", "path_key", "publish", "refresh", "withdraw"]


class Scaler:
    """Runs the model of one entry of the host's list; has the methods and attributes of the host's `Upscaler`.

    Args:
        name: The entry's name.
        path: The model's file, or the address from which it is to be downloaded.
        original: The host's entry whose place the entry has taken; None for one that was added.
    """

    model_name = None
    model_url = None
    model = None
    filter = None
    enable = True
    tile = True
    can_tile = True
    half = False

    def __init__(self, name: str, path: Path | str, original: HostUpscalerEntry | None = None) -> None:
        self.name = name
        self.path = path
        self.original = original
        self.scale: float = 1
        self.scalers: list[HostUpscalerEntry] = []
        source = getattr(original, "scaler", None)
        self.model_path = getattr(source, "model_path", None) or str(Path(path).parent)
        self.model_download_path = getattr(source, "model_download_path", None) or self.model_path
        self.user_path = getattr(source, "user_path", None)

    def upscale(
        self, img: Image.Image, scale: float, selected_model: str | None = None, *_: object, **__: object
    ) -> Image.Image:
        """Upscale by exactly that factor, both sides rounded to whole pixels.

        An image that is to become smaller is only resized, as the host does it, unless the model works at 1x.

        Raises:
            UpscalePlusError: What the model raises.
        """
        self.scale = int(scale) if scale == int(scale) else scale
        if scale < 1 and not self._works_at_1x():
            console.say(f"made smaller without {self.name}: the image is larger than the target")
            return _resize_plainly(img, scale)
        return self._run(img, scale)

    def do_upscale(self, img: Image.Image, selected_model: str | None = None, *_: object, **__: object) -> Image.Image:
        """Run the network once, in its own scale. Raises `UpscalePlusError`."""
        return self._run(img, None)

    def load_model(self, path: str) -> object:
        """Return the network as the host's own loader gives it, for extensions that run it themselves."""
        return load_network(self.file())

    def find_models(self, ext_filter: object = None) -> list[str]:
        """Return its one file."""
        return [str(self.path)]

    def update_status(self, prompt: str) -> None:
        """Print a line in the console, as the host's does."""
        console.say(prompt)

    def file(self) -> Path:
        """Return the model's file, downloaded by the host's loader first where it is still an address."""
        if isinstance(self.path, Path):
            if not os.path.isfile(self.path):  # noqa: PTH113 (never raises)
                raise UnknownModelError(self.name, (), f"{self.path} is gone: put it back, or choose another upscaler")
            return self.path
        assert self.original is not None, "models that were added have a file"
        self.path = _download(self.path, self.original)
        # Where the host keeps it too: the entry has a file from now on, whoever runs it.
        self.original.local_data_path = str(self.path)
        model_list.refresh()
        return self.path

    def check(self) -> None:
        """Raise what would prevent it from running, as far as that is known without a download."""
        if isinstance(self.path, Path):
            model_list.catalog.find(str(self.file()))

    def _works_at_1x(self) -> bool:
        model = _identify(self.path) if isinstance(self.path, Path) else None
        return model is not None and model.identity.network is not None and model.identity.network.scale == 1

    def _run(self, img: Image.Image, scale: float | None) -> Image.Image:
        settings = settings_page.usual().changed(model=str(self.file()), scale=None if scale is None else float(scale))
        plain = img if img.mode in ("RGB", "RGBA") else img.convert("RGB")
        in_extras = jobs.is_extras_job()
        try:
            work, began = engine.work(Size(*plain.size), settings), time.perf_counter()
            with jobs.image_progress(moves_bar=in_extras) as progress:
                result = engine.run(plain, settings, progress)
            timings.record_enlarging(self.name, work, time.perf_counter() - began)
        except CancelledError:
            if in_extras:
                raise
            return _resize_interrupted(img, scale)
        except UpscalePlusError as error:
            if not in_extras:  # there the end of the job says it
                console.say(str(error))
            raise
        finally:
            if not in_extras:
                engine.after_image("resize")
        return result if result.mode in ("RGB", "RGBA") else result.convert("RGB")


def publish() -> None:
    """Bring the host's list in line with the catalog and the settings. May be called any number of times."""
    listed = list_upscalers()
    known = {model.path: model for model in model_list.upscalers()}
    _remove_gone(listed, known)
    for place, entry in enumerate(listed):
        if settings_page.takes_over():
            listed[place] = _take_over(entry)
            _correct_scale(listed[place], known)
        elif isinstance(entry.scaler, Scaler) and entry.scaler.original is not None:
            listed[place] = entry.scaler.original
    present = {key for entry in listed for key in _files_of(entry)}
    taken = {entry.name for entry in listed}
    for model in known.values():
        if path_key(model.path) not in present:
            name = _free_name(model, taken)
            taken.add(name)
            listed.append(_make_entry(name, str(model.path), Scaler(name, model.path), model))


def refresh(*, only_if_changed: bool = False) -> None:
    """Read the folders again (see `ModelList.refresh`), add what is new and take out what is gone."""
    if model_list.refresh(only_if_changed=only_if_changed):
        publish()


def withdraw() -> None:
    """Leave the host's list as it would be without the extension."""
    listed = list_upscalers()
    for place in reversed(range(len(listed))):
        scaler = listed[place].scaler
        if not isinstance(scaler, Scaler):
            continue
        if scaler.original is None:
            del listed[place]
        else:
            listed[place] = scaler.original


def names() -> list[str]:
    """Return the names in the host's list, in its order."""
    return [entry.name for entry in list_upscalers()]


def check(name: str | None) -> None:
    """Raise `UpscalePlusError` if the upscaler of that name is one of ours and can't work."""
    scaler = _scaler_of(name)
    if scaler is not None:
        scaler.check()


def is_run_by_us(name: str) -> bool:
    """Whether the upscaler of that name is one of ours."""
    return _scaler_of(name) is not None


def _scaler_of(name: str | None) -> Scaler | None:
    scalers = (entry.scaler for entry in list_upscalers() if entry.name == name)
    return next((scaler for scaler in scalers if isinstance(scaler, Scaler)), None)


def _remove_gone(listed: list[HostUpscalerEntry], known: Mapping[Path, Entry]) -> None:
    """Take out the entries of ours whose file is gone, or lies in no folder of models any more."""
    for place in reversed(range(len(listed))):
        scaler = listed[place].scaler
        if not isinstance(scaler, Scaler) or not isinstance(scaler.path, Path):
            continue
        if scaler.original is None:
            if scaler.path not in known:
                del listed[place]
        elif not os.path.isfile(scaler.path):  # noqa: PTH113 (never raises)
            # What the host offers for download is downloaded anew; "Reload UI" has it list the rest again.
            if str(scaler.original.data_path).startswith("http"):
                listed[place] = scaler.original
            else:
                del listed[place]


def _take_over(entry: HostUpscalerEntry) -> HostUpscalerEntry:
    """The entry for its place: run by us, if it is one of the host's that runs a network from a file.

    LDSR has no file in its entry and stays the host's; so do the upscalers of other extensions.
    """
    if isinstance(entry.scaler, Scaler) or not entry.data_path or not is_host_scaler(entry.scaler):
        return entry
    path = _local_file(entry)
    if path is None and not str(entry.data_path).startswith("http"):
        return entry
    # An address stays the entry's data_path, as the host has it, until it has been downloaded.
    scaler = Scaler(entry.name, path if path is not None else str(entry.data_path), original=entry)
    model = _identify(path)
    if path is not None and model is None and not _is_in_model_folder(path):
        return entry
    return _make_entry(entry.name, entry.data_path, scaler, model, scale=entry.scale)


def _correct_scale(entry: HostUpscalerEntry, known: Mapping[Path, Entry]) -> None:
    """Give an entry of ours the scale of its model, which may not have been known when it was made."""
    path = entry.scaler.path if isinstance(entry.scaler, Scaler) else None
    model = (known.get(path) or _identify(path)) if isinstance(path, Path) else None
    if model is not None and model.identity.network is not None:
        entry.scale = model.identity.network.scale


def _make_entry(
    name: str, path: str | None, scaler: Scaler, model: Entry | None, scale: float = 4
) -> HostUpscalerEntry:
    """An entry for the host's list; `scale` is what the host believes where the model is not known."""
    network = None if model is None else model.identity.network
    true_scale = network.scale if network is not None else scale
    data = new_entry(name, path, scaler, true_scale)
    if isinstance(scaler.path, Path):
        data.local_data_path = str(scaler.path)
    return data


def _identify(path: Path | None) -> Entry | None:
    """What is known of a file; None if it can't upscale, which running it will say."""
    if path is None:
        return None
    if model_list.is_starting:  # what is not known yet is identified in the background, and published then
        return next((model for model in model_list.upscalers() if model.path == path), None)
    try:
        return model_list.catalog.find(str(path))
    except ModelFileError:
        return None


def _is_in_model_folder(path: Path) -> bool:
    return any(folder in path.parents for folder in model_list.catalog.folders)


def _local_file(entry: HostUpscalerEntry) -> Path | None:
    """The file that the host would run: it keeps the address in one field and the downloaded file in another."""
    for value in (entry.data_path, getattr(entry, "local_data_path", None)):
        if isinstance(value, str) and not value.startswith("http"):
            with contextlib.suppress(OSError, ValueError):
                if os.path.isfile(value):  # noqa: PTH113
                    return Path(os.path.abspath(value))  # noqa: PTH100 (keeps links)
    return None


def _files_of(entry: HostUpscalerEntry) -> list[str]:
    path = entry.scaler.path if isinstance(entry.scaler, Scaler) else _local_file(entry)
    return [path_key(path)] if isinstance(path, Path) else []


def path_key(path: str | Path) -> str:
    """Return a text that is the same for every path and link that lead to one file."""
    return os.path.normcase(os.path.realpath(path))


def _free_name(entry: Entry, taken: set[str]) -> str:
    """The catalog's name, made different where the host gives it to another file."""
    candidates = (
        entry.name,
        f"{entry.name} ({entry.path.suffix.removeprefix('.')})",
        f"{entry.name} ({entry.path.parent.name})",
        f"{entry.name} ({entry.path})",
    )
    return next(name for name in candidates if name not in taken)


def _download(address: str, original: HostUpscalerEntry) -> Path:
    """The file behind an address, fetched by the host's loader into the host's folder."""
    scaler = original.scaler
    try:
        if type(scaler).__name__ in ("UpscalerRealESRGAN", "UpscalerDAT"):
            return Path(scaler.load_model(address).local_data_path)
        # The entry's own name: at the next start the host lists the file under it.
        place = getattr(scaler, "model_download_path", None) or scaler.model_path
        return download(address, place, f"{original.name}.pth")
    except (OSError, RuntimeError, ValueError) as error:
        raise UpscalePlusError(
            f"{original.name} could not be downloaded from {address} ({error})",
            f"check the connection, or put the file into {getattr(scaler, 'model_path', 'the model folder')} yourself",
        ) from error


def _resize_interrupted(img: Image.Image, scale: float | None) -> Image.Image:
    """What the host itself gives while it stops: it discards the image or shows it as far as it came."""
    console.say("interrupted: the image was not upscaled")
    return _resize_plainly(img, scale or 1)


def _resize_plainly(img: Image.Image, scale: float) -> Image.Image:
    sides = (max(1, round(img.width * scale)), max(1, round(img.height * scale)))
    return img.resize(sides, Image.Resampling.LANCZOS)
