"""Wraps the host's function that runs an Extras job: one bad image ends no batch, and the end says what happened.

The host reads uploads before any script runs, drops unreadable files silently, ends a batch at the first error, and
may write results over their sources. All of that is inside one function of the host, which is wrapped here; while it
runs, its module has stand-ins for `images`, `scripts` and `shared` with a few functions replaced. The rest of the host
does not see them.
"""

from __future__ import annotations

import functools
import inspect
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from lib_upscale.errors import CancelledError, SettingsError, UpscalePlusError
from lib_upscale.webui.extras import builtin_upscale
from lib_upscale.webui.extras.builtin_upscale import BuiltinUpscale
from lib_upscale.webui.extras.inputs import Inputs, Mode, list_below, problem_of
from lib_upscale.webui.extras.originals import Originals, running_job
from lib_upscale.webui.extras.outputs import Outputs
from lib_upscale.webui.extras.postprocess import NAME
from lib_upscale.webui.extras.report import Report, error_as_html, name_problem
from lib_upscale.webui.host import console, environment, jobs, scripts
from lib_upscale.webui.host.images import replacing_as_asked, without_hidden_text
from lib_upscale.webui.host.patching import replaced
from lib_upscale.webui.host.protocols import HostPostprocessed
from lib_upscale.webui.ui import upscale_controls
from lib_upscale.webui.upscalers import registry
from lib_upscale.webui.upscalers.engine import engine

__all__ = ["install", "uninstall"]


def install() -> None:
    """Wrap the host's function, once."""
    module = scripts.postprocessing_module()
    if not hasattr(module.run_postprocessing, "upscale_plus"):
        module.run_postprocessing = _wrap(module.run_postprocessing)


def uninstall() -> None:
    """Put the host's function back. Where another extension has wrapped ours, ours passes everything on from now on."""
    module = scripts.postprocessing_module()
    function = module.run_postprocessing
    if hasattr(function, "upscale_plus"):
        module.run_postprocessing = function.upscale_plus.original
        return
    while function is not None:
        if hasattr(function, "upscale_plus"):
            function.upscale_plus.active = False
        function = getattr(function, "__wrapped__", None)


@dataclass
class _Wrapper:
    """What is known of the function that was wrapped, as the attribute `upscale_plus` of ours."""

    original: Callable[..., object]
    active: bool = True


def _wrap(original: Callable[..., object]) -> Callable[..., object]:
    wrapper = _Wrapper(original)
    signature = inspect.signature(original)

    @functools.wraps(original)
    def run_postprocessing(*arguments: object, **named: object) -> object:
        if not wrapper.active:
            return original(*arguments, **named)
        try:
            job = _ExtrasJob(signature.bind(*arguments, **named).arguments)
        except Exception:  # whatever this host does differently, its own way still works
            console.report("this Extras job runs without the help of Upscale Plus")
            return original(*arguments, **named)
        return job.run(lambda: original(*arguments, **named))

    run_postprocessing.upscale_plus = wrapper  # type: ignore[attr-defined]
    return run_postprocessing


class _ExtrasJob:
    """One call of the host's function, which is given `arguments` by name."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        script_args = arguments.get("args", ())
        self._values = _values_of(NAME, script_args)
        self._builtin = BuiltinUpscale.from_values(_values_of(builtin_upscale.NAME, script_args))
        mode = Mode(int(arguments.get("extras_mode") or 0))
        input_dir = str(arguments.get("input_dir") or "") if mode is Mode.DIRECTORY else ""
        self._inputs = Inputs(mode, len(arguments.get("image_folder") or ()))
        self._outputs = Outputs(input_dir, str(arguments.get("output_dir") or ""))
        self._output_dir = str(arguments.get("output_dir") or "")
        self._report = Report()
        self._unsaved: list[Any] = []
        self._begun = 0
        self._is_on_page = jobs.is_started_on_page()
        self._originals = Originals()
        self._upload = arguments.get("image") if mode is Mode.SINGLE else None

    def run(self, original: Callable[[], object]) -> object:
        """Run the host's function; its answer, with what happened in the text that is shown beside the results."""
        module = scripts.postprocessing_module()
        self._images, self._shared = module.images, module.shared
        state = _Proxy(module.shared.state, nextjob=self._next_image, assign_current_image=self._show)
        self._runner = module.scripts.scripts_postproc
        runner = _Proxy(self._runner, run=self._run_scripts)
        proxies = {
            "images": _Proxy(
                module.images, read=self._read, save_image=self._save, read_info_from_image=self._read_info
            ),
            "scripts": _Proxy(module.scripts, scripts_postproc=runner),
            "shared": _Proxy(module.shared, listfiles=self._list, state=state),
        }
        if not hasattr(module.images, "read"):  # Forge Classic
            proxies["Image"] = _Proxy(Image, open=self._open)
        with ExitStack() as stack:
            stack.callback(engine.after_job)
            for name, proxy in proxies.items():
                stack.enter_context(replaced(module, name, proxy))
            stack.enter_context(builtin_upscale.running_job(self._builtin))
            stack.enter_context(running_job(self._originals))
            stack.enter_context(self._originals.of_upload(self._upload))
            stack.enter_context(jobs.extras_job())
            try:
                answer = original()
            except Exception as error:
                self._say(str(error))
                environment.state().end()  # the host forgets to, and would seem busy
                # The host asserts that there is an image, or a folder.
                if self._is_on_page and isinstance(error, (UpscalePlusError, AssertionError)):
                    # Raised, it would be in the console again, with a traceback, and on the page with its class.
                    return [], self._report.as_html(), error_as_html(error)
                raise
        self._say()
        return self._add_report(answer)

    def _say(self, *more: str) -> None:
        for line in (*self._report.lines(), *more):
            console.say(line)

    def _add_report(self, answer: object) -> object:
        text = self._report.as_html()
        if not text or not isinstance(answer, (tuple, list)) or len(answer) < 2:
            return answer
        outputs, host_text, *rest = answer
        return (outputs, f"{host_text}{text}", *rest)

    # what the host's function uses instead of its own

    def _list(self, folder: str) -> list[str]:
        """In place of `shared.listfiles`: with the folders below, without what is done already."""
        is_on = bool(self._values.get("enabled"))
        recurse = is_on and self._values.get("recurse")
        if not os.path.isdir(folder):  # noqa: PTH112 (never raises)
            raise SettingsError(f"The input directory {folder} does not exist", "check its path")
        files = list_below(folder, self._output_dir) if recurse else self._shared.listfiles(folder)
        sources = [path for path in files if not self._outputs.is_own_result(path)]
        self._report.own_results, files = len(files) - len(sources), sources
        if not files:
            has_folders = not recurse and any(path.is_dir() for path in _children(folder))
            self._report.empty = f"no images in {folder}" + (
                ", only subfolders: choose Include subfolders" if has_folders else ""
            )
        self._outputs.protect(files)
        if is_on and self._values.get("skip_done"):
            settings = upscale_controls.settings_of(self._values)
            unfinished = [path for path in files if not self._outputs.is_done(path, settings)]
            self._report.skipped = len(files) - len(unfinished)
            files = unfinished
        self._inputs.count = len(files)
        return files

    def _read(self, source: object, **options: object) -> Image.Image:
        """In place of `images.read`."""
        return self._read_by(source, functools.partial(self._images.read, **options))

    def _read_by(self, source: object, read: Callable[..., Image.Image]) -> Image.Image:
        return self._inputs.read(source, lambda: read(source))

    def _open(self, source: object) -> Image.Image:
        """In place of Pillow's `Image.open`, as `_read`."""
        return self._read_by(source, Image.open)

    def _read_info(self, image: Image.Image) -> tuple[str | None, dict[str, Any]]:
        """In place of `images.read_info_from_image`, which ends the job at EXIF data that are damaged."""
        try:
            info: tuple[str | None, dict[str, Any]] = self._images.read_info_from_image(without_hidden_text(image))
        except Exception:
            image.info.pop("exif", None)
            try:
                info = self._images.read_info_from_image(without_hidden_text(image))
            except Exception:
                info = (None, {})
        return info

    def _run_scripts(self, pp: HostPostprocessed, args: Sequence[object]) -> None:
        """In place of `scripts_postproc.run`: an error is the problem of that one image."""
        self._inputs.begin()
        self._originals.begin(pp.image, self._inputs.current)
        ours = bool(self._values.get("enabled"))
        jobs.begin_extras_image(ours + (self._builtin is not None and registry.is_run_by_us(self._builtin.upscaler)))
        try:
            self._run_one(pp, args)
        finally:
            jobs.count_image()

    def _next_image(self) -> None:
        """In place of `state.nextjob`, which counts an image as done before it begins: 100% for a single one."""
        vars(environment.state()).update(job_no=self._begun, sampling_step=0)
        self._begun += 1

    def _show(self, image: Image.Image) -> None:
        """In place of `state.assign_current_image`: the last one may reach the page after the bar has gone.

        It would lie over the result, and over those of the next jobs.
        """
        state = environment.state()
        if state.job_no < state.job_count:
            state.assign_current_image(image)

    def _run_one(self, pp: HostPostprocessed, args: Sequence[object]) -> None:
        state = environment.state()
        problem = problem_of(pp.image)
        if problem is not None:
            self._fail(problem)
            return
        try:
            self._runner.run(pp, args)
            self._unsaved = [pp, *getattr(pp, "extra_images", ())]
        except CancelledError:
            if not self._inputs.are_several and not self._is_on_page:
                raise  # the API would look for the image
            # The host drops an image that was skipped; an interrupted job ends before the next one.
            if state.interrupted:
                self._report.interrupted = True
            else:
                self._report.skips += 1
            state.skipped = True
        except Exception as error:
            if not self._inputs.are_several:
                raise
            if not isinstance(error, UpscalePlusError):
                traceback.print_exc()
            self._fail(str(error) if isinstance(error, UpscalePlusError) else f"{type(error).__name__}: {error}")

    def _fail(self, problem: str) -> None:
        name = self._inputs.name(environment.state().job_no + 1)
        if not problem:
            self._report.not_images += 1
        elif not self._inputs.are_several:
            raise UpscalePlusError(problem)
        else:
            self._report_failure(name, problem)
        environment.state().skipped = True

    def _report_failure(self, name: str, problem: str) -> None:
        self._report.failed.append((name, problem))
        console.warn(name_problem(name, problem))

    def _save(self, image: Image.Image, *arguments: object, **named: object) -> object:
        """In place of `images.save_image`: into the folder that belongs to the source, and over nothing."""
        name = named.get("forced_filename")
        if name and "path" in named:
            folder = self._outputs.folder_for(self._inputs.current, str(named["path"]))
            free = self._outputs.free_name(folder, str(name), f".{named.get('extension', 'png')}")
            self._report.renamed += free != name
            named.update(path=folder, forced_filename=free)
        try:
            with replacing_as_asked():
                return self._originals.save(image, lambda: self._images.save_image(image, *arguments, **named))
        except Exception as error:
            if not self._inputs.are_several:
                raise
            problem = f"the result could not be saved ({error})"
            self._report_failure(self._inputs.name(environment.state().job_no), problem)
            for pp in self._unsaved:
                pp.caption = None  # the host would put it into a file beside the image
            return None, None


def _children(folder: str) -> list[Path]:
    try:
        return list(Path(folder).iterdir())
    except OSError:
        return []


class _Proxy:
    """Stands in for an object: passes everything on, but for the attributes that are replaced."""

    def __init__(self, original: object, **replacements: object) -> None:
        self.__dict__.update(replacements)
        self.__dict__["_original"] = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_original"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.__dict__["_original"], name, value)


def _values_of(name: str, args: Sequence[object]) -> dict[str, object]:
    """The values of one postprocessor's controls by name."""
    script = next((script for script in scripts.extras_scripts() if script.name == name), None)
    if script is None or not script.controls:
        return {}
    return dict(zip(script.controls, args[script.args_from : script.args_to], strict=False))
