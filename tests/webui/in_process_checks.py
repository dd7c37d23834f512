"""What the adapters promise, as functions that run inside a host: the stand-in and the real one alike.

Each gets the host's data folder, whose models are those of tests/webui/models.py.
"""

from __future__ import annotations

import contextlib
import copy
import shutil
import sys
import threading
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from modules import modelloader, postprocessing, scripts, shared
from PIL import Image

from lib_upscale.errors import UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.webui.callbacks import upscale_plus
from lib_upscale.webui.callbacks.upscale_plus import callbacks
from lib_upscale.webui.extras import batch, postprocess
from lib_upscale.webui.extras.plan_summary import plan_summary
from lib_upscale.webui.host import console
from lib_upscale.webui.host.patching import option_set, replaced
from lib_upscale.webui.upscalers import engine, hires_check, registry
from tests.webui.models import NEAREST

NEAREST_4X = "4x_Nearest"
LORA = "detail_lora"
BUILTIN_OFF = {"upscale_enabled": False, "upscale_mode": 0, "upscale_by": 1, "max_side_length": 0}
"""The host's own accordion, off: its firstpass can't do without numbers all the same."""


def picture(width: int = 20, height: int = 12, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def entry(name: str) -> Any:
    return next(entry for entry in shared.sd_upscalers if entry.name == name)


@contextlib.contextmanager
def raises(text: str) -> Iterator[None]:
    said = ""
    try:
        yield
    except UpscalePlusError as error:
        said = str(error)
    assert text in said, said or "nothing was raised"


def check_entries_are_taken_over_in_their_place(_: Path) -> None:
    all_entries = list(shared.sd_upscalers)
    registry.withdraw()
    host_entries = list(shared.sd_upscalers)
    assert not [x for x in host_entries if isinstance(x.scaler, registry.Scaler)]
    registry.publish()
    assert [x.name for x in shared.sd_upscalers] == [x.name for x in all_entries], [x.name for x in shared.sd_upscalers]
    assert [x.name for x in shared.sd_upscalers][: len(host_entries)] == [x.name for x in host_entries]
    assert shared.sd_upscalers[0].name == "None"
    registry.withdraw()
    assert all(a is b for a, b in zip(shared.sd_upscalers, host_entries, strict=True)), (
        "the host's own objects come back"
    )
    registry.publish()


def check_publishing_again_changes_nothing(_: Path) -> None:
    before = [(x.name, x.data_path, x.scale) for x in shared.sd_upscalers]
    for _round in range(10):
        registry.publish()
    assert [(x.name, x.data_path, x.scale) for x in shared.sd_upscalers] == before
    assert len({name for name, _, _ in before}) == len(before)


def check_architectures_that_are_missing_are_named_at_the_start(_: Path) -> None:
    for missing, lines in ((("ATD", "MAT"), 1), ((), 0)):
        said: list[str] = []
        with (
            replaced(upscale_plus.upscale_api, "add_routes", lambda app: None),
            replaced(upscale_plus, "missing_architectures", lambda missing=missing: missing),
            replaced(console, "say", said.append),
        ):
            callbacks.app_started(None)
        assert len(said) == lines, said
        assert all(name in said[0] for name in missing), said


def check_ldsr_stays_the_host_s(_: Path) -> None:
    listed = [type(x.scaler).__name__ for x in shared.sd_upscalers if x.name == "LDSR"]
    assert listed in (["UpscalerLDSR"], []), "Forge has none"


def check_scales_are_true(_: Path) -> None:
    assert {name: entry(name).scale for name in (NEAREST, NEAREST_4X, "3x_Nearest", "1x_Clean")} == {
        NEAREST: 2,
        NEAREST_4X: 4,
        "3x_Nearest": 3,
        "1x_Clean": 1,
    }


def check_an_address_is_downloaded_by_the_host_and_run_by_us(data: Path) -> None:
    def download(url: str, *, model_dir: str, file_name: str | None = None, **more: Any) -> str:
        Path(model_dir).mkdir(parents=True, exist_ok=True)
        file_name = file_name or Path(url).name
        asked.append((url, file_name))
        return str(shutil.copy(data / "models" / "DAT" / "1x_Clean.pth", Path(model_dir) / file_name))

    asked: list[tuple[str, str]] = []
    with replaced(modelloader, "load_file_from_url", download):
        upscaler = next((x for x in shared.sd_upscalers if str(x.data_path).startswith("https://")), None)
        if upscaler is None:
            raise unittest.SkipTest("no upscaler that it downloads itself")
        result = upscaler.scaler.upscale(picture(), 1, upscaler.data_path)
        upscaler.scaler.upscale(picture(), 1, upscaler.data_path)
    assert [url for url, _ in asked] == [upscaler.data_path], "it is downloaded once, from its own address"
    assert Path(asked[0][1]).stem in (upscaler.name, Path(upscaler.data_path).stem)
    assert np.array_equal(np.asarray(result), np.asarray(picture()))


def check_a_download_that_fails_says_so(_: Path) -> None:
    def download(url: str, **more: Any) -> str:
        raise OSError("no network")

    path = "https://example.invalid/x.pth"
    source = SimpleNamespace(name="x", scaler=SimpleNamespace(model_path="models/ESRGAN", model_download_path=None))
    with replaced(modelloader, "load_file_from_url", download), raises("could not be downloaded"):
        registry.Scaler("x", path, original=source).upscale(picture(), 2)


def check_results_are_exact_and_of_the_network(_: Path) -> None:
    image = picture(21, 13)
    result = entry(NEAREST).scaler.upscale(image, 2, entry(NEAREST).data_path)
    assert np.array_equal(np.asarray(result), np.asarray(image).repeat(2, 0).repeat(2, 1))
    assert entry(NEAREST_4X).scaler.upscale(image, 1.5).size == (32, 20), "half a pixel is rounded up"
    assert entry(NEAREST_4X).scaler.do_upscale(image).size == (84, 52)


def check_a_failing_model_raises_its_advice(_: Path) -> None:
    with raises("models/Lora"):
        entry(LORA).scaler.upscale(picture(), 2, entry(LORA).data_path)


def check_an_interrupted_generation_is_not_lost(_: Path) -> None:
    with replaced(shared.state, "interrupted", True):
        assert entry(NEAREST).scaler.upscale(picture(), 2).size == (40, 24)


def check_nothing_stays_loaded_after_a_job(_: Path) -> None:
    entry(NEAREST).scaler.upscale(picture(), 2)
    assert len(engine.engine.models.cache) == 0
    shared.opts.set("upscale_plus_keep_models", True)
    try:
        entry(NEAREST).scaler.upscale(picture(), 2)
        assert len(engine.engine.models.cache) == 1
    finally:
        shared.opts.set("upscale_plus_keep_models", False)
    assert len(engine.engine.models.cache) == 0


def check_the_api_s_arguments_of_none_are_off(_: Path) -> None:
    args = scripts.scripts_postproc.create_args_for_run({"Upscale": BUILTIN_OFF})
    image = picture()
    pictures, *_rest = postprocessing.run_postprocessing(0, image, None, "", "", True, *args, save_output=False)
    assert pictures[0].size == image.size


def extras_arguments(**values: Any) -> list[Any]:
    usual = {"enabled": True, "model": NEAREST, "target_kind": "Factor", "scale": 2}
    return list(
        scripts.scripts_postproc.create_args_for_run({"Upscale": BUILTIN_OFF, postprocess.NAME: {**usual, **values}})
    )


def check_a_picture_that_fails_ends_no_batch(_: Path) -> None:
    def process(pp: Any, values: Any, **more: Any) -> None:
        calls.append(pp)
        if len(calls) == 2:
            raise ValueError("the second one")
        original(pp, values, **more)

    calls: list[Any] = []
    original = postprocess.process
    images = [picture(seed=seed) for seed in range(3)]
    with replaced(postprocess, "process", process):
        pictures, text, *_rest = postprocessing.run_postprocessing(
            1, None, images, "", "", True, *extras_arguments(), save_output=False
        )
    assert [result.size for result in pictures] == [(40, 24), (40, 24)]
    assert "1 image failed" in text
    assert "the second one" in text


def check_one_picture_that_fails_raises(_: Path) -> None:
    with raises("models/Lora"):
        args = extras_arguments(model=LORA)
        postprocessing.run_postprocessing(0, picture(), None, "", "", True, *args, save_output=False)
    assert postprocessing.shared is shared, "the host's modules are back after an error too"


def _run_single_on_page(button: str = "", **values: Any) -> Any:
    """The answer for one image, started by the page's button; a button is pressed while it is upscaled."""

    def upscale(*arguments: Any) -> Any:
        if button:
            setattr(shared.state, button, True)
        return original(*arguments)

    original = engine.engine.upscale
    shared.state.begin(job="task(abc)")
    with replaced(engine.engine, "upscale", upscale):
        args = extras_arguments(**values)
        return postprocessing.run_postprocessing(0, picture(), None, "", "", True, *args, save_output=False)


def check_a_stop_on_the_page_is_said_in_a_word_and_is_no_error(_: Path) -> None:
    for button, word in (("interrupted", "Interrupted."), ("skipped", "Skipped.")):
        pictures, text, log = _run_single_on_page(button)
        assert (list(pictures), log) == ([], "")
        assert f"<p>{word}</p>" in text, text
        assert "Cancelled" not in text, text


def check_a_refusal_on_the_page_is_shown_and_not_raised(_: Path) -> None:
    pictures, _text, log = _run_single_on_page(model=LORA)
    assert list(pictures) == []
    assert "models/Lora" in log
    assert "class='error'" in log
    assert "Error:" not in log, "the class is nobody's business"
    assert not shared.state.job, "the host is not busy"


def check_the_size_is_told_to_the_others(_: Path) -> None:
    from modules.scripts_postprocessing import PostprocessedImage

    pp = PostprocessedImage(picture(30, 20))
    values = {"enabled": True, "model": NEAREST, "target_kind": "Longest side", "longest": 45}
    postprocess.process_firstpass(pp, values)
    assert (pp.shared.target_width, pp.shared.target_height) == (45, 30)


def check_the_wrap_is_undone(_: Path) -> None:
    wrapped = postprocessing.run_postprocessing
    batch.install()
    assert postprocessing.run_postprocessing is wrapped, "installed once"
    batch.uninstall()
    assert getattr(postprocessing.run_postprocessing, "upscale_plus", None) is None
    batch.install()


def check_hires_fix_is_checked_before_its_start_also_in_copies(_: Path) -> None:
    class Generation:
        enable_hr = True
        hr_upscaler = LORA
        script_args_value = scripts_value = None
        begun = 0

        def init(self, *arguments: Any) -> None:
            self.begun += 1

    p = Generation()
    hires_check.check_upscaler(p)
    with raises("models/Lora"):
        p.init()
    assert p.begun == 0
    other = copy.copy(p)
    other.hr_upscaler = NEAREST
    hires_check.check_upscaler(other)
    hires_check.check_upscaler(other)
    other.init()
    assert (p.begun, other.begun) == (0, 1)


def check_a_skipped_picture_is_dropped_and_the_rest_goes_on(_: Path) -> None:
    def upscale(*arguments: Any) -> Any:
        calls.append(arguments)
        shared.state.skipped = len(calls) == 1
        return original(*arguments)

    calls: list[Any] = []
    original = engine.engine.upscale
    images = [picture(seed=seed) for seed in range(2)]
    with replaced(engine.engine, "upscale", upscale):
        pictures, text, *_rest = postprocessing.run_postprocessing(
            1, None, images, "", "", True, *extras_arguments(), save_output=False
        )
    assert len(calls) == 2
    assert [np.array_equal(result, np.asarray(images[1]).repeat(2, 0).repeat(2, 1)) for result in pictures] == [True]
    assert "failed" not in text


def check_the_order_of_the_host_s_settings_is_kept(_: Path) -> None:
    host_values = {
        "upscale_enabled": True,
        "upscaler_1_name": NEAREST_4X,
        "upscale_by": 2,
        "upscale_mode": 0,
        "max_side_length": 0,
    }
    values = {"enabled": True, "model": NEAREST, "target_kind": "Longest side", "longest": 33}
    arguments = scripts.scripts_postproc.create_args_for_run({"Upscale": host_values, postprocess.NAME: values})
    for order, size in ((["Upscale", postprocess.NAME], (33, 20)), ([postprocess.NAME, "Upscale"], (66, 40))):
        with option_set("postprocessing_operation_order", order):
            summary = plan_summary((20, 12), host_values, values, as_html=False)
            pictures, *_rest = postprocessing.run_postprocessing(
                0, picture(), None, "", "", True, *arguments, save_output=False
            )
        assert pictures[0].size == size
        assert f"20x12 -> {size[0]}x{size[1]} in all" in summary, summary


def check_switched_off_in_the_host_s_settings_is_off(_: Path) -> None:
    image = picture()
    with option_set("postprocessing_disable_in_extras", [postprocess.NAME]):
        pictures, *_rest = postprocessing.run_postprocessing(
            0, image, None, "", "", True, *extras_arguments(), save_output=False
        )
    assert pictures[0].size == image.size


def check_in_a_generation_a_failure_keeps_the_picture(_: Path) -> None:
    """Where the host's settings have put the accordion into txt2img, it would print the error and say nothing."""
    warned: list[str] = []
    script = SimpleNamespace(name="not the one of Extras")
    values = {"enabled": True, "model": NEAREST, "target_kind": "Factor", "scale": 2}
    with replaced(console, "warn", warned.append):
        result = SimpleNamespace(image=picture(), info={})
        callbacks.process(script, result, values)
        failed = SimpleNamespace(image=picture(), info={})
        callbacks.process(script, failed, {**values, "model": LORA})
    assert (result.image.size, result.info["Upscale Plus upscaler"]) == ((40, 24), NEAREST)
    assert (failed.image.size, failed.info) == ((20, 12), {})
    assert len(warned) == 1
    assert "models/Lora" in warned[0]


def check_room_is_made_before_a_network_runs(_: Path) -> None:
    def freed(*_: Any, **__: Any) -> None:
        asked.append(len(engine.engine.models.cache))

    asked: list[int] = []
    management = sys.modules.get("backend.memory_management")
    if management is not None:  # Forge
        with replaced(management, "free_memory", freed):
            entry(NEAREST).scaler.upscale(picture(), 2)
    else:
        from modules import lowvram

        with replaced(lowvram, "send_everything_to_cpu", freed):
            entry(NEAREST).scaler.upscale(picture(), 2)
            assert asked == [], "nothing is moved unless the person asked for it at the start"
            for flag in ("lowvram", "medvram"):
                with replaced(shared.cmd_opts, flag, True):
                    entry(NEAREST).scaler.upscale(picture(), 2)
    assert asked == ([0] if management is not None else [0, 0])


def check_a_model_loaded_for_a_plan_stays_for_the_next_step_of_a_slider_only(_: Path) -> None:
    class ModelCache:
        device = SimpleNamespace(type="cuda")
        cleared = threading.Event()

        def clear(self) -> None:
            self.cleared.set()

    size, settings = Size(20, 12), UpscaleSettings(model=NEAREST)
    with (
        replaced(engine.engine, "_model_cache", ModelCache()),
        replaced(engine, "recall_plan", lambda plan, _: plan),
        replaced(engine, "complete_plan", lambda plan, *_, **__: plan),
        replaced(engine, "_IDLE", 3600.0),
    ):
        engine.engine.plan(size, settings)
        assert not ModelCache.cleared.is_set()
        engine._IDLE = 0.01
        engine.engine.plan(Size(30, 12), settings)
        assert ModelCache.cleared.wait(60)
