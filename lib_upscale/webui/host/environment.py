"""The WebUI the extension runs in: every difference between AUTOMATIC1111's, Forge and reForge stands here.

The other modules of this room ask this one and never look into `modules` themselves, except to replace a function
of the host, which is each one's own affair.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from modules import devices, shared

__all__ = [
    "api_credentials",
    "api_is_on",
    "api_job",
    "data_path",
    "device",
    "empty_runner",
    "extras_job",
    "extras_scripts",
    "give_memory_back",
    "has_tooltips",
    "img2img_by_api",
    "input_accordion",
    "interrogated",
    "is_busy",
    "is_extras_job",
    "is_of_extras",
    "javascript",
    "kept_state",
    "latent_upscalers",
    "make_room",
    "models_path",
    "on_page_load",
    "option",
    "options_of_command_line",
    "prompt_length",
    "queue_lock",
    "report",
    "say",
    "shared",
    "short_hash",
    "vae_network",
    "warn",
    "write_params",
]

_NAME = "Upscale Plus"


def say(text: str) -> None:
    """A line in the console, where the host's own messages are."""
    print(f"{_NAME}: {text}", file=sys.stdout, flush=True)  # noqa: T201


def report(text: str) -> None:
    """A line in the console and, within an exception's handler, its traceback."""
    from modules import errors

    errors.report(f"{_NAME}: {text}", exc_info=sys.exc_info()[0] is not None)


def warn(text: str) -> None:
    """A notice in the page of whoever started the job, if the job was started from a page."""
    import gradio

    with contextlib.suppress(Exception):  # outside an event of a page there is nobody to show it to
        gradio.Warning(text)


def option(key: str, default: Any) -> Any:
    """A value of the settings page; the default before the page has been built for the first time."""
    value = getattr(shared.opts, key, default)
    return default if value is None else value


def options_of_command_line() -> dict[str, Any]:
    """Name -> value of all arguments that the WebUI was started with."""
    return dict(vars(shared.cmd_opts))


def models_path() -> Path:
    """The folder `models`."""
    from modules import paths

    return Path(paths.models_path)


def api_is_on() -> bool:
    """Whether the WebUI was started with its API."""
    return bool(options_of_command_line().get("api") or options_of_command_line().get("nowebui"))


def api_credentials() -> dict[str, str]:
    """User -> password of `--api-auth`; empty if the API is open."""
    given = options_of_command_line().get("api_auth") or ""
    pairs = [pair.partition(":") for pair in given.split(",") if pair]
    return {user: password for user, _, password in pairs}


def is_busy() -> bool:
    """Whether a job is running."""
    return bool(shared.state.job or shared.state.job_count)


def queue_lock() -> Any:
    """The lock that every job of the host takes. It must not be taken twice by one thread."""
    from modules import call_queue

    return call_queue.queue_lock


def device() -> torch.device:
    """Where the host runs its own upscalers: `--use-cpu` and `--device-id` are in it."""
    with contextlib.suppress(Exception):
        return torch.device(devices.get_device_for("esrgan"))
    return torch.device(getattr(devices, "device_esrgan", None) or "cpu")


def make_room() -> None:
    """Move the Stable Diffusion model out of the way, as far as the host does that itself before an upscaler."""
    management = _memory_management()
    try:
        if management is not None:  # Forge and its family: they bring their models back when they need them
            needed = management.minimum_inference_memory()
            management.free_memory(needed, management.get_torch_device())
            return
        flags = options_of_command_line()
        if flags.get("lowvram") or flags.get("medvram") or flags.get("medvram_sdxl"):
            importlib.import_module("modules.lowvram").send_everything_to_cpu()
            devices.torch_gc()
    except Exception:  # less memory is no reason to fail: tiles get smaller
        report("the memory of other models could not be freed")


def give_memory_back() -> None:
    """What torch keeps for later goes back to the device."""
    with contextlib.suppress(Exception):
        devices.torch_gc()


def _memory_management() -> Any:
    for name in ("backend.memory_management", "ldm_patched.modules.model_management"):
        if name in sys.modules:
            found = sys.modules[name]
            if hasattr(found, "free_memory") and hasattr(found, "minimum_inference_memory"):
                return found
    return None


def input_accordion(opened: bool, **arguments: Any) -> Any:
    """The host's accordion whose being open is a value: a class in one host, a function in the other."""
    from modules.ui_components import InputAccordion

    return InputAccordion(opened, **arguments)


def has_tooltips() -> bool:
    """Whether the host has taught gradio's components the argument `tooltip`."""
    return any(name in sys.modules for name in ("modules.gradio_extensons", "modules.gradio_extensions"))


def javascript(code: str) -> dict[str, str]:
    """The argument with which an event of gradio runs `code` in the page first: it was renamed with gradio 4."""
    import gradio

    return {"_js" if gradio.__version__.startswith("3.") else "js": code}


def latent_upscalers() -> list[str]:
    """What hires fix offers before the upscalers."""
    return list(getattr(shared, "latent_upscale_modes", {}))


def on_page_load(function: Callable[..., Any], **arguments: Any) -> None:
    """Call it whenever somebody opens the page that is being built."""
    from gradio.context import Context

    if Context.root_block is not None:
        Context.root_block.load(function, **arguments)


def is_of_extras(script: Any) -> bool:
    """Whether a postprocessor is the one of the Extras tab: the settings can have others in txt2img and img2img."""
    from modules import scripts

    return any(each is script for each in scripts.scripts_postproc.scripts or ())


def extras_scripts() -> list[Any]:
    """The postprocessors of the Extras tab, in the order in which they run; those switched off are left out."""
    from modules import scripts

    return list(scripts.scripts_postproc.scripts_in_preferred_order())


def short_hash(path: Path) -> str | None:
    """The first ten digits of a file's SHA-256, kept by the host; None where the host was told not to compute any."""
    from modules import hashes

    try:
        whole = hashes.sha256(str(path), f"upscale-plus/{path}")
    except Exception:
        return None
    return whole[:10] if whole else None


def data_path() -> Path:
    """The folder of the person's data: settings, outputs, models."""
    from modules import paths

    return Path(paths.data_path)


def empty_runner() -> Any:
    """A runner of scripts without any."""
    from modules import scripts

    return scripts.ScriptRunner()


def vae_network() -> Any:
    """The VAE of the loaded model: what has `encoder` and `decoder`."""
    model = shared.sd_model
    found = getattr(model, "first_stage_model", None)
    if found is None or not hasattr(found, "encoder"):
        found = model.forge_objects.vae.first_stage_model
    return found


def prompt_length(prompt: str) -> int:
    """Tokens to which the loaded model pads a prompt: 75, 150, ..."""
    asked = getattr(shared.sd_model, "get_prompt_lengths_on_ui", None)
    if asked is None:
        from modules.sd_hijack import model_hijack

        asked = model_hijack.get_prompt_lengths
    return int(asked(prompt)[1])


def interrogated(image: Any, *, tags: bool) -> str:
    """What one of the host's two interrogators says of a picture; it may end with "<error>". Raises what they raise."""
    if tags:
        return str(importlib.import_module("modules.deepbooru").model.tag(image))
    return str(shared.interrogator.interrogate(image))


def write_params(p: Any) -> None:
    """Write `params.txt` again, which the host wrote before what it says was changed."""
    from modules.processing import Processed

    if not shared.cmd_opts.no_prompt_history:
        with contextlib.suppress(OSError):
            (data_path() / "params.txt").write_text(Processed(p, []).infotext(p, 0), encoding="utf8")


@contextmanager
def kept_state() -> Iterator[None]:
    """While it lasts, nobody begins or ends the job: for parts of the host that think they are one of their own."""
    state = shared.state
    state.begin = state.end = lambda *_, **__: None
    try:
        yield
    finally:
        del state.begin, state.end


def img2img_by_api(app: Any, asked: dict[str, Any]) -> Any:
    """What the host's own API answers to such an img2img request: it queues, counts and checks it as ever."""
    from modules.api.models import StableDiffusionImg2ImgProcessingAPI

    endpoint = next(route.endpoint for route in app.routes if getattr(route, "path", "") == "/sdapi/v1/img2img")
    return endpoint(StableDiffusionImg2ImgProcessingAPI(**asked))


_in_extras = threading.local()


@contextmanager
def extras_job() -> Iterator[None]:
    """Mark the current thread as running a job of the Extras tab."""
    _in_extras.active = True
    try:
        yield
    finally:
        _in_extras.active = False


@contextmanager
def api_job(count: int) -> Iterator[None]:
    """Mark the host as busy with `count` pictures, so that its progress and Interrupt work."""
    state = shared.state
    state.begin(job="upscale-plus")
    state.job_count = count
    try:
        yield
    finally:
        state.end()


def is_extras_job() -> bool:
    """Whether the current thread runs a job of the Extras tab."""
    return getattr(_in_extras, "active", False)


def stop_asked() -> bool:
    """Whether the person pressed Interrupt or Skip."""
    return bool(shared.state.interrupted or shared.state.skipped)


class StateProgress:
    """A `Progress` that moves the host's bar, in a thousand steps of the picture that is worked on."""

    steps = 1000

    def __init__(self, *, moves_bar: bool = True) -> None:
        self._moves_bar = moves_bar

    def report(self, fraction: float, text: str = "") -> None:
        """Move the bar and say where we are."""
        if self._moves_bar:
            shared.state.sampling_steps = self.steps
            shared.state.sampling_step = int(self.steps * min(1.0, max(0.0, fraction)))
        if text:
            shared.state.textinfo = text

    def cancelled(self) -> bool:
        """Whether Interrupt or Skip was pressed."""
        return stop_asked()


@contextmanager
def picture_progress(*, counted_already: bool = False, moves_bar: bool = True) -> Iterator[StateProgress]:
    """Show a picture's tiles on the host's bar.

    A job that counts a picture as done before it begins (`counted_already`) would show 100% at once for a single one:
    the count is taken back until the picture is done. In a generation the bar is the sampler's and stays so.
    """
    state = shared.state
    if not moves_bar:
        text = state.textinfo
        try:
            yield StateProgress(moves_bar=False)
        finally:
            state.textinfo = text
        return
    before = (state.sampling_step, state.sampling_steps, state.textinfo)
    if counted_already:
        state.job_no -= 1
    try:
        state.sampling_step = 0
        yield StateProgress()
    finally:
        if counted_already:
            state.job_no += 1
        state.sampling_step, state.sampling_steps, state.textinfo = before
