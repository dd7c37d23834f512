"""What the lines promise that say what will happen, as functions that run inside a host. See in_process_checks."""

from __future__ import annotations

import html
import importlib.util
import re
import shutil
import threading
import time
import unittest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from lib_upscale.errors import UnknownModelError, UnusableModelError, UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.models.identification import identifier
from lib_upscale.models.runtime import model_cache
from lib_upscale.redrawing import count_masked, plan_redraw
from lib_upscale.settings.redraw import RedrawSettings
from lib_upscale.webui.extras.plan_summary import plan_summary
from lib_upscale.webui.hires_fix import axes as hires_fix_axes
from lib_upscale.webui.host import console, environment, jobs
from lib_upscale.webui.host.patching import option_set, replaced
from lib_upscale.webui.sd_upscale import axes as sd_upscale_axes
from lib_upscale.webui.sd_upscale import page
from lib_upscale.webui.sd_upscale.img2img_input import prepare_mask
from lib_upscale.webui.sd_upscale.page import plan_summary as redraw_summary
from lib_upscale.webui.sd_upscale.source import Source
from lib_upscale.webui.ui import xyz_axes
from lib_upscale.webui.ui.open_tab import MaskBits
from lib_upscale.webui.upscalers import engine, model_list, registry
from lib_upscale.webui.upscalers.plan_worker import PlanWorker
from tests.webui.models import NEAREST


def check_a_plan_does_not_wait_for_a_large_model_and_never_loads_it_twice(_: Path) -> None:
    loads: list[str] = []
    original = model_cache.load_network

    def load_network(path: Path) -> Any:
        loads.append(path.stem)
        time.sleep(2)
        return original(path)

    values = {"enabled": True, "model": NEAREST, "target_kind": "Factor", "scale": 2}
    with (
        replaced(model_cache, "load_network", load_network),
        replaced(engine.engine, "_worker", PlanWorker(engine.engine._load_for, jobs.is_busy)),
        replaced(engine.engine, "_model_cache", model_cache.ModelCache("cpu")),
    ):
        start = time.monotonic()
        first = plan_summary((50, 40), {}, values)
        assert time.monotonic() - start < 1.5
        assert "100x80" in first
        assert "not known yet" in first
        assert "data-again" in first
        while "data-again" in plan_summary((50, 40), {}, values):
            assert time.monotonic() - start < 30
        second = plan_summary((50, 40), {}, values)
        assert "1 tile" in second, second
        known = engine.engine.models.cache.measurements
        assert loads == [NEAREST]
        # As after a new start: what was noted is enough.
        with replaced(engine.engine, "_model_cache", model_cache.ModelCache("cpu", measurements=known)):
            assert plan_summary((50, 40), {}, values) == second
            assert "200x160" in plan_summary((50, 40), {}, {**values, "scale": 4})
        assert loads == [NEAREST]


def check_a_line_about_a_model_that_fails_says_so_and_asks_no_more(_: Path) -> None:
    def load_network(path: Path) -> Any:
        raise UnusableModelError(path, "is broken", "download it again")

    values = {"enabled": True, "model": NEAREST, "target_kind": "Factor", "scale": 2}
    with (
        replaced(model_cache, "load_network", load_network),
        replaced(engine.engine, "_worker", PlanWorker(engine.engine._load_for, jobs.is_busy)),
        replaced(engine.engine, "_model_cache", model_cache.ModelCache("cpu")),
    ):
        while "data-again" in (line := plan_summary((50, 40), {}, values)):
            pass
    assert "download it again" in line, line
    assert "data-again" not in line


def check_the_page_does_not_wait_for_new_model_files(_: Path) -> None:
    goes_on, done, said, original = threading.Event(), threading.Event(), [], identifier.identify

    def identify(path: Path) -> Any:
        goes_on.wait(60)
        return original(path)

    models = model_list.ModelList()
    new = environment.models_path() / "ESRGAN" / "2x_Brand_new.pth"
    shutil.copy(environment.models_path() / "ESRGAN" / f"{NEAREST}.pth", new)
    try:
        with (
            replaced(identifier, "identify", identify),
            replaced(model_list, "_PATIENCE", 0.2),
            replaced(console, "say", said.append),
        ):
            models.start(done.set)
            assert models.is_starting
            listed = {entry.name for entry in models.upscalers()}
            assert NEAREST in listed
            assert new.stem not in listed
            assert any("meanwhile" in line for line in said)
            goes_on.set()
            assert done.wait(60)
        assert not models.is_starting
        assert new.stem in {entry.name for entry in models.upscalers()}
    finally:
        new.unlink()


def check_a_folder_that_does_not_exist_is_said(data: Path) -> None:
    for folder in (data / "nowhere", data / ("long" * 100)):  # of the second the system says that it can't be asked
        with option_set("upscale_plus_folders", str(folder)):
            registry.refresh()
            values = {"enabled": True, "model": NEAREST, "target_kind": "Factor", "scale": 2}
            assert f"{folder} does not exist" in plan_summary((50, 40), {}, values, as_html=False)
    registry.refresh()


def check_an_upscaler_whose_file_is_gone_is_named_and_leaves_the_list(_: Path) -> None:
    new = environment.models_path() / "ESRGAN" / "2x_Passing.pth"
    shutil.copy(environment.models_path() / "ESRGAN" / f"{NEAREST}.pth", new)
    registry.refresh()
    assert "2x_Passing" in registry.names()
    new.unlink()
    said = ""
    try:
        registry.check("2x_Passing")
    except UnknownModelError as error:
        said = str(error)
    assert said.startswith("There is no model called '2x_Passing'"), said
    assert "choose another upscaler" in said, said
    registry.refresh()
    assert "2x_Passing" not in registry.names()


def check_a_page_that_is_opened_asks_for_no_file_of_an_unchanged_list(_: Path) -> None:
    """Each would be a question to a network share, two or three for every model."""
    asked: list[object] = []

    def path_key(path: str | Path) -> str:
        asked.append(path)
        return str(path)

    registry.refresh()
    with replaced(registry, "path_key", path_key):
        registry.refresh(only_if_changed=True)
        assert not asked
        new = environment.models_path() / "ESRGAN" / "2x_Passing.pth"
        shutil.copy(environment.models_path() / "ESRGAN" / f"{NEAREST}.pth", new)
        registry.refresh(only_if_changed=True)
        assert asked
    assert "2x_Passing" in registry.names()
    new.unlink()
    registry.refresh(only_if_changed=True)
    assert "2x_Passing" not in registry.names()


def check_values_of_axes_are_checked_before_the_plot(_: Path) -> None:
    plot = SimpleNamespace(axis_options=[], AxisOptionImg2Img=_axis_option, AxisOptionTxt2Img=_axis_option)
    bad: dict[str, list[Any]] = {
        "Tile": [64, 10],
        "Overlap": [-5],
        "Upscaler": ["detail_lora"],
        "Method": ["sideways"],
        "Scale": [2.0, 0.0],
        "Skip flat tiles": [-1.0],
        "Strength for flat tiles": [1.5],
        "Strength": [0.3, float("nan")],
    }
    with replaced(xyz_axes, "xyz_plot", lambda: plot):
        for axes in (sd_upscale_axes.AXES, hires_fix_axes.AXES):
            axes.add()
    numbers = {option.label.partition("] ")[2] for option in plot.axis_options if option.type in (int, float)}
    assert numbers <= set(bad), "an axis of numbers has no bad values here"
    for option in plot.axis_options:
        values = bad.get(option.label.partition("] ")[2])
        if values is None:
            continue
        try:
            option.confirm(None, values)
        except UpscalePlusError:
            continue
        raise AssertionError(f"{option.label}: {values} is let through")
    good = {"Tile": [64, 512], "Upscaler": [NEAREST, "Lanczos"], "Strength": [0.0, 0.35, 1.0]}
    options = {option.label.partition("] ")[2]: option for option in plot.axis_options}
    for label, allowed in good.items():
        options[label].confirm(None, allowed)


def _axis_option(label: str, kind: type, apply: Any, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(label=label, type=kind, apply=apply, **more)


def check_a_padding_that_has_no_effect_is_no_error(_: Path) -> None:
    values = {"enabled": True, "model": NEAREST, "target_kind": "Width x height", "width": 100, "height": 100}
    assert "100x80" in plan_summary((50, 40), {}, {**values, "fit": "contain", "padding": "red"})
    assert "not a valid padding" in plan_summary((50, 40), {}, {**values, "fit": "pad", "padding": "red"})


def check_the_line_of_a_test_tells_which_tile_and_whether_there_is_one(_: Path) -> None:
    if importlib.util.find_spec("modules.sd_models") is None:
        raise unittest.SkipTest("no checkpoints")
    values = {"upscaler": "Lanczos", "target": "Factor", "scale": 2.5, "tile": 128, "overlap": 24}

    def line(**more: Any) -> str:
        host_values = {"steps": 8, "strength": 0.3, "images": 3}
        return html.unescape(redraw_summary(Source((120, 96)), host_values, {**values, **more}))

    assert "300x240, 3x3 tiles of 128x128" in line()
    assert ">Test of tile 4 of 9, 128x128" in line(test=True, test_tile=4)
    assert ">Test of tile 5 of 9, 128x128" in line(test=True, test_tile=0)
    assert ">Test of tile 5 of 9, 128x128" in line(test=True, test_tile=5, method="joint"), "a tile is tested alone"
    refused = line(test=True, test_tile=10)
    assert "There is no tile 10: choose 1 to 9" in refused
    assert "upscale-plus-bad" in refused


def check_the_line_counts_the_tiles_that_a_mask_touches(_: Path) -> None:
    if importlib.util.find_spec("modules.sd_models") is None:
        raise unittest.SkipTest("no checkpoints")
    values = {"upscaler": "Lanczos", "target": "Factor", "scale": 8.0, "tile": 128, "overlap": 16, "mask_padding": 8}
    cells = np.zeros((96, 120), np.bool_)
    nothing = MaskBits(cells.copy(), (0.0, 0.0, 0.0, 0.0))
    cells[10:90, 10:20] = cells[10:20, 10:110] = True
    corner = MaskBits(cells, (10 / 120, 10 / 96, 110 / 120, 90 / 96))

    def line(mask: MaskBits | None, **more: Any) -> str:
        host_values = {"steps": 8, "strength": 0.3, "mask_blur": 0, **more}
        return redraw_summary(Source((120, 96), masked=True, mask=mask), host_values, values)

    def counts(text: str) -> list[int]:
        found = re.search(r"the mask touches (\d+) of (\d+) tiles", text)
        assert found is not None, text
        return [int(number) for number in found.groups()]

    touched, tiles = counts(line(corner))
    assert 0 < touched < tiles, "an L of strokes leaves tiles out"
    assert counts(line(corner, mask_blur=16))[0] > touched
    inverted = counts(line(corner, mask_mode=1))
    assert inverted[0] > touched
    assert "nothing is masked yet" in line(nothing)
    assert "960x768" in line(nothing)
    everything = counts(line(nothing, mask_mode=1))
    assert everything[0] == everything[1]
    assert "only the tiles that the mask touches are redrawn" in line(None)


def check_the_tiles_under_a_mask_are_counted_in_large_images_too(_: Path) -> None:
    cells = np.zeros((128, 128), np.bool_)
    cells[20:110, 15:30] = cells[20:30, 15:120] = True
    bits = MaskBits(cells, (15.5 / 128, 20.25 / 128, 119.5 / 128, 109.75 / 128))
    size = Size(2500, 2000)

    def counted(mask: Any) -> tuple[str, int]:
        plan = plan_redraw(size, RedrawSettings(scale=8.0), native=1024, multiple=8, strength=0.3, mask=mask)
        return plan.describe(), sum(count_masked(mask, plan))

    for blur, mode in ((0, 0), (16, 0), (16, 1)):
        exact, source = prepare_mask(bits.plane(*size), blur, inverted=bool(mode)), Source(tuple(size), mask=bits)
        found = page._mask(source, {"mask_blur": blur, "mask_mode": mode})
        assert counted(found) == counted(exact), "320 megapixels are no reason"
        with replaced(page, "MOST_KEPT", size.pixels // 2):
            found = page._mask(source, {"mask_blur": blur, "mask_mode": mode})
        assert found is not None
        assert found.size < 0.51 * size.pixels, "of a smaller copy"
        assert counted(found)[0] == counted(exact)[0]
        assert 0.8 < counted(found)[1] / counted(exact)[1] < 1.25


def check_the_script_s_line_says_beforehand_what_is_no_upscaler(_: Path) -> None:
    line = redraw_summary(Source((64, 64)), {}, {"upscaler": "detail_lora", "target": "Factor", "scale": 2})
    assert "move it to models/Lora" in line, line
    assert "upscale-plus-bad" in line, line
