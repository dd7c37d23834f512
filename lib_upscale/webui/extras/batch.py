"""The wrap around the host's run of an Extras job: one bad picture ends no batch, and the end says what happened.

The host reads uploads before any script runs, drops unreadable files in silence, ends a batch at the first error, and
may write results over their sources. All of that is inside one function of the host, which is wrapped here; while it
runs it is given its own `images`, `scripts` and `shared` with a few functions exchanged. Nothing else of the host sees
them.
"""

from __future__ import annotations

import functools
import html
import inspect
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from lib_upscale.errors import CancelledError, PictureError, UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.image.io.formats import SUPPORTED_SUFFIXES
from lib_upscale.image.io.opening import check_pixels
from lib_upscale.webui.extras import accordion as extras
from lib_upscale.webui.extras.builtin_upscale import BuiltIn
from lib_upscale.webui.host import console, environment, jobs
from lib_upscale.webui.host.images import read_infotext
from lib_upscale.webui.host.scripts import extras_scripts, postprocessing_module
from lib_upscale.webui.ui import upscale_controls as controls
from lib_upscale.webui.upscalers import settings_page as options
from lib_upscale.webui.upscalers.engine import engine

__all__ = ["install", "uninstall"]

_BATCH, _DIRECTORY = 1, 2
"""The host's numbers of the tabs "Batch Process" and "Batch from Directory"."""

_UNREADABLE = "upscale-plus unreadable"
"""In the `info` of a picture that stands in for a file that could not be read."""


def install() -> None:
    """Wrap the host's function, once."""
    postprocessing = postprocessing_module()
    original = postprocessing.run_postprocessing
    if getattr(original, "upscale_plus", None) is not None:
        return
    postprocessing.run_postprocessing = _wrapped(original)


def uninstall() -> None:
    """Put the host's function back. Where another extension has wrapped ours, ours passes everything on from now on."""
    postprocessing = postprocessing_module()
    current = postprocessing.run_postprocessing
    ours = getattr(current, "upscale_plus", None)
    if ours is not None:
        postprocessing.run_postprocessing = ours.original
        return
    while current is not None:
        ours = getattr(current, "upscale_plus", None)
        if ours is not None:
            ours.active = False
        current = getattr(current, "__wrapped__", None)


@dataclass
class _Wrap:
    original: Callable[..., Any]
    active: bool = True


def _wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
    wrap = _Wrap(original)
    signature = inspect.signature(original)

    @functools.wraps(original)
    def run_postprocessing(*arguments: Any, **named: Any) -> Any:
        if not wrap.active:
            return original(*arguments, **named)
        try:
            run = _Run.of(signature.bind(*arguments, **named).arguments)
        except Exception:  # whatever this host does differently, its own way still works
            console.report("this Extras job runs without the help of Upscale Plus")
            return original(*arguments, **named)
        with run.in_place():
            return run.finished(original(*arguments, **named))

    run_postprocessing.upscale_plus = wrap  # type: ignore[attr-defined]
    return run_postprocessing


@dataclass
class _Notes:
    """What happened in a job."""

    failed: list[tuple[str, str]] = field(default_factory=list)
    no_pictures: int = 0
    skipped: int = 0
    renamed: int = 0
    interrupted: bool = False

    def lines(self) -> list[str]:
        """For people."""
        lines = []
        if self.failed:
            lines.append(f"{_counted(len(self.failed), 'picture')} failed:")
            lines += [_named(name, problem) for name, problem in self.failed]
        if self.skipped:
            lines.append(f"{_counted(self.skipped, 'picture')} left out, as the result is there already")
        if self.no_pictures:
            lines.append(f"{_counted(self.no_pictures, 'file')} left out, being no picture")
        if self.renamed:
            lines.append(f"{_counted(self.renamed, 'result')} renamed, so that nothing was overwritten")
        if self.interrupted:
            lines.append("interrupted")
        return lines


class _Run:
    """One job."""

    def __init__(self, mode: int, uploads: int, input_dir: str, output_dir: str, values: dict[str, Any]) -> None:
        self._mode = mode
        self._count = uploads if mode == _BATCH else 1
        self._input = input_dir
        self._output = output_dir
        self._values = values
        self._notes = _Notes()
        self._current = ""
        self._uploads: list[str] = []
        self._begun = False
        self._sources: set[str] = set()
        self._written: set[str] = set()

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> _Run:
        """From the arguments of the host's function by name."""
        values = _values_of(extras.NAME, arguments.get("args", ()))
        theirs = BuiltIn.of(_values_of("Upscale", arguments.get("args", ())))
        order = [script.name for script in extras_scripts()]
        extras.job.builtin = theirs
        extras.job.builtin_comes_first = extras.NAME in order and "Upscale" in order[: order.index(extras.NAME)]
        return cls(
            int(arguments.get("extras_mode") or 0),
            len(arguments.get("image_folder") or ()),
            str(arguments.get("input_dir") or ""),
            str(arguments.get("output_dir") or ""),
            values,
        )

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the host's function its exchanged modules while it runs."""
        postprocessing = postprocessing_module()
        originals = {name: getattr(postprocessing, name) for name in ("images", "scripts", "shared")}
        runner = _Instead(originals["scripts"].scripts_postproc, run=self._run_scripts)
        exchanged = {
            "images": _Instead(originals["images"], read=self._read, save_image=self._save),
            "scripts": _Instead(originals["scripts"], scripts_postproc=runner),
            "shared": _Instead(originals["shared"], listfiles=self._list),
        }
        self._images, self._runner = originals["images"], originals["scripts"].scripts_postproc
        self._listfiles = originals["shared"].listfiles
        for name, module in exchanged.items():
            setattr(postprocessing, name, module)
        try:
            with jobs.extras_job():
                yield
        except Exception as error:
            for line in self._notes.lines():
                console.say(line)
            console.say(str(error))
            environment.state().end()  # the host forgets to, and would seem busy
            raise
        finally:
            for name, module in originals.items():
                setattr(postprocessing, name, module)
            extras.job.builtin = None
            engine.after_job()

    def finished(self, answer: Any) -> Any:
        """The host's answer with what happened in the text that is shown beside the pictures."""
        lines = self._notes.lines()
        for line in lines:
            console.say(line)
        if not lines or not isinstance(answer, (tuple, list)) or len(answer) < 2:
            return answer
        outputs, text, *rest = answer
        said = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
        return (outputs, f"{text}<div class='upscale-plus-notes'>{said}</div>", *rest)

    def _several(self) -> bool:
        return self._mode in (_BATCH, _DIRECTORY) and self._count > 1

    # what the host's function is given instead of its own

    def _list(self, folder: str) -> list[str]:
        """Instead of `shared.listfiles`: with what lies below, without what is done."""
        enabled = bool(self._values.get("enabled"))
        found = self._listfiles(folder)
        if enabled and self._values.get("recurse"):
            found = _below(folder, self._output)
        found = [path for path in found if not self._is_own_result(path)]
        self._sources = {_key(path) for path in found}
        if enabled and self._values.get("skip_done"):
            todo = [path for path in found if not self._is_done(path)]
            self._notes.skipped = len(found) - len(todo)
            found = todo
        self._count = len(found)
        return found

    def _read(self, source: Any, **more: Any) -> Image.Image:
        """Instead of `images.read`: a file that can't be read becomes a stand-in, which is dropped later."""
        self._current = str(source)
        if self._mode == _DIRECTORY:
            self._begin_picture()
        else:  # all are read before the first is worked on
            self._uploads.append(self._current)
        try:
            with Image.open(source) as header:
                check_pixels(Path(str(source)), Size(*header.size), options.decompression_limit())
            image: Image.Image = self._images.read(source, **more)
            image.load()
        except Exception as error:
            image = Image.new("RGB", (1, 1))
            image.info[_UNREADABLE] = self._unreadable(Path(str(source)), error)
        return image

    def _unreadable(self, path: Path, error: Exception) -> str:
        if isinstance(error, PictureError):
            return str(error)
        unknown = isinstance(error, UnidentifiedImageError)
        if unknown and path.suffix.lower() not in SUPPORTED_SUFFIXES and self._mode == _DIRECTORY:
            return ""
        what = "is not a picture, or damaged" if unknown else f"can't be read ({error})"
        return str(PictureError(path, what, "open it in another program, and save it anew if it opens"))

    def _run_scripts(self, pp: Any, args: Any) -> None:
        """Instead of `scripts_postproc.run`: whatever one picture runs into is that picture's problem."""
        self._begin_picture()
        if self._uploads:
            self._current = self._uploads.pop(0)
        try:
            self._run_one(pp, args)
        finally:
            environment.state().job_no += 1
            self._begun = False

    def _begin_picture(self) -> None:
        """The host counts a picture as done before it begins, so that a single one shows 100% at once: not so."""
        if not self._begun:
            environment.state().job_no -= 1
            self._begun = True

    def _run_one(self, pp: Any, args: Any) -> None:
        state = environment.state()
        problem = pp.image.info.get(_UNREADABLE) if pp.image.size == (1, 1) else None
        if problem is not None:
            self._fail(problem)
            return
        try:
            self._runner.run(pp, args)
        except CancelledError:
            # The host drops a picture that was skipped; an interrupted job ends before the next one.
            if not self._several() and not state.skipped:
                raise
            self._notes.interrupted = bool(state.interrupted)
            state.skipped = True
        except Exception as error:
            if not self._several():
                raise
            if not isinstance(error, UpscalePlusError):
                traceback.print_exc()
            self._fail(str(error) if isinstance(error, UpscalePlusError) else f"{type(error).__name__}: {error}")

    def _fail(self, problem: str) -> None:
        number = environment.state().job_no + 1
        name = Path(self._current).name or f"picture {number} of {self._count}"
        if not problem:
            self._notes.no_pictures += 1
        elif not self._several():
            raise UpscalePlusError(problem)
        else:
            self._notes.failed.append((name, problem))
            console.warn(_named(name, problem))
        environment.state().skipped = True

    def _save(self, image: Any, *arguments: Any, **named: Any) -> Any:
        """Instead of `images.save_image`: into the folder that belongs to the source, over no source, over no other."""
        name = named.get("forced_filename")
        if name and "path" in named:
            folder = self._folder_for(str(named["path"]))
            ending = f".{named.get('extension', 'png')}"
            named["path"] = folder
            free = self._free(folder, str(name), ending)
            self._notes.renamed += free != name
            named["forced_filename"] = free
            self._written.add(_key(os.path.join(folder, free + ending)))  # noqa: PTH118
        return self._images.save_image(image, *arguments, **named)

    def _folder_for(self, output: str) -> str:
        if self._mode != _DIRECTORY or not self._current:
            return output
        below = os.path.relpath(os.path.dirname(self._current), self._input)  # noqa: PTH120
        return output if below == os.curdir else os.path.join(output, below)  # noqa: PTH118

    def _free(self, folder: str, name: str, ending: str) -> str:
        def taken(candidate: str) -> bool:
            key = _key(os.path.join(folder, candidate + ending))  # noqa: PTH118
            return key in self._sources or key in self._written

        candidates = [name, f"{name}{_RESULT}", *(f"{name}{_RESULT}-{number}" for number in range(2, 10_000))]
        return next(candidate for candidate in candidates if not taken(candidate))

    # what is done already

    def _result_folder(self) -> str:
        opts = environment.opts()
        return self._output or getattr(opts, "outdir_samples", "") or getattr(opts, "outdir_extras_samples", "")

    def _results_of(self, path: str) -> list[Path]:
        """Where the result of a source lies, if it is there."""
        if not getattr(environment.opts(), "use_original_name_batch", False):
            return []
        self._current = path
        folder = Path(self._folder_for(self._result_folder()))
        ending = f".{getattr(environment.opts(), 'samples_format', 'png')}"
        stem = Path(path).stem
        return [folder / f"{stem}{_RESULT}{ending}", folder / f"{stem}{ending}"]

    def _is_done(self, path: str) -> bool:
        settings = controls.settings_of(self._values)
        wanted = f"{extras.RECIPE}: {extras.recipe(settings)}"
        source = _key(path)
        return any(
            _key(str(result)) != source and _is_newer(result, Path(path)) and wanted in _texts(result)
            for result in self._results_of(path)
        )

    def _is_own_result(self, path: str) -> bool:
        """Whether it is a result of ours beside its source: results of results are nobody's wish."""
        stem, ending = os.path.splitext(path)  # noqa: PTH122
        base = stem.rpartition(_RESULT)[0]
        in_place = _key(self._result_folder()) == _key(self._input)
        return in_place and bool(base) and any(os.path.isfile(base + other) for other in {ending, *_ENDINGS})  # noqa: PTH113


_RESULT = "-upscaled"
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


class _Instead:
    """An object with a few of its attributes exchanged."""

    def __init__(self, original: Any, **exchanged: Any) -> None:
        self.__dict__.update(exchanged)
        self.__dict__["_original"] = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_original"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_original"], name, value)


def _values_of(name: str, args: Any) -> dict[str, Any]:
    """The values of one postprocessor's controls by name."""
    script = next((script for script in extras_scripts() if script.name == name), None)
    if script is None or not script.controls:
        return {}
    return dict(zip(script.controls, args[script.args_from : script.args_to], strict=False))


def _below(folder: str, output: str) -> list[str]:
    """All files below a folder, but for those in the folder of the results."""
    results = _key(output) if output and _key(output) != _key(folder) else None
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and _key(os.path.join(place, name)) != results  # noqa: PTH118
        )  # fmt: skip
        found += [os.path.join(place, name) for name in sorted(files) if not name.startswith(".")]  # noqa: PTH118
    return found


def _key(path: str) -> str:
    return os.path.normcase(os.path.realpath(path))


def _is_newer(result: Path, source: Path) -> bool:
    try:
        return result.stat().st_mtime >= source.stat().st_mtime
    except OSError:
        return False


def _texts(path: Path) -> str:
    """All texts in a result, whatever the host calls the field: it differs between hosts and formats."""
    try:
        with Image.open(path) as image:
            parameters, items = read_infotext(image)
    except Exception:  # a result that can't be read is none
        return ""
    return "\n".join(str(value) for value in (parameters, *items.values()) if value)


def _named(name: str, problem: str) -> str:
    """The problem of a picture; many begin with its name already."""
    return problem if problem.startswith(name) else f"{name}: {problem}"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count != 1 else ''}"
