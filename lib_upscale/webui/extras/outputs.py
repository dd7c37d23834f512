"""Where the results of an Extras job go: beside no source's name, and not again where they already exist."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.webui.host import environment, images
from lib_upscale.webui.upscalers.infotext import RECIPE_KEY, recipe
from lib_upscale.webui.upscalers.registry import path_key

__all__ = ["Outputs"]

_SUFFIX = "-upscaled"
"""Put behind a result's name that would overwrite something."""
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


class Outputs:
    """The results of one job. All paths are the host's, as text.

    Args:
        input_dir: The folder of a job that works on one, else "".
        output_dir: The folder that the person chose for the results, "" for the host's own.
    """

    def __init__(self, input_dir: str, output_dir: str) -> None:
        self._input, self._chosen = input_dir, output_dir
        self._taken: set[str] = set()

    def protect(self, sources: Iterable[str]) -> None:
        """Never give a result the path of one of these files."""
        self._taken = {path_key(source) for source in sources}

    def folder_for(self, source: str, folder: str) -> str:
        """Return the folder below `folder` that corresponds to the source's folder below the input folder."""
        if not self._input or not source:
            return folder
        below = os.path.relpath(os.path.dirname(source), self._input)  # noqa: PTH120
        return folder if below == os.curdir else os.path.join(folder, below)  # noqa: PTH118

    def free_name(self, folder: str, name: str, ending: str) -> str:
        """Return `name`, made different if its file is a source or another result, and keep it from being used again.

        Args:
            folder: Where the result is going to be saved.
            name: Its file name without the ending.
            ending: The ending, with its dot.
        """

        def key(candidate: str) -> str:
            return path_key(os.path.join(folder, candidate + ending))  # noqa: PTH118

        candidates = [name, f"{name}{_SUFFIX}", *(f"{name}{_SUFFIX}-{number}" for number in range(2, 10_000))]
        free = next(candidate for candidate in candidates if key(candidate) not in self._taken)
        self._taken.add(key(free))
        return free

    def is_done(self, source: str, settings: UpscaleSettings) -> bool:
        """Whether the result of a source exists, is newer and was made with these settings."""
        made_by = f"{RECIPE_KEY}: {recipe(settings)}"
        return any(
            path_key(result) != path_key(source) and _is_newer(result, Path(source)) and made_by in _read_texts(result)
            for result in self._results_of(source)
        )

    def is_own_result(self, path: str) -> bool:
        """Whether a file is a result that lies beside its source: results of results are of no use."""
        stem, ending = os.path.splitext(path)  # noqa: PTH122
        source = stem.rpartition(_SUFFIX)[0]
        if not source or path_key(self._folder()) != path_key(self._input):
            return False
        return any(os.path.isfile(source + other) for other in {ending, *_ENDINGS})  # noqa: PTH113

    def _folder(self) -> str:
        return (
            self._chosen or environment.option("outdir_samples", "") or environment.option("outdir_extras_samples", "")
        )

    def _results_of(self, source: str) -> list[Path]:
        """Where the result of a source may be."""
        if not environment.option("use_original_name_batch", False):
            return []
        folder, stem = Path(self.folder_for(source, self._folder())), Path(source).stem
        ending = f".{environment.option('samples_format', 'png')}"
        return [folder / f"{stem}{_SUFFIX}{ending}", folder / f"{stem}{ending}"]


def _is_newer(result: Path, source: Path) -> bool:
    try:
        return result.stat().st_mtime >= source.stat().st_mtime
    except OSError:
        return False


def _read_texts(path: Path) -> str:
    """All texts in a result, whatever the host calls the field: it differs between hosts and formats."""
    try:
        with Image.open(path) as image:
            parameters, items = images.read_infotext(image)
    except Exception:  # a result that can't be read is none
        return ""
    return "\n".join(str(value) for value in (parameters, *items.values()) if value)
