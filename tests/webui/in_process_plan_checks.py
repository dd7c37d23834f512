"""What the lines promise that say what will happen, as functions that run inside a host. See in_process_checks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lib_upscale.errors import UnusableModelError
from lib_upscale.models.runtime import model_cache
from lib_upscale.webui.extras.plan_summary import plan_summary
from lib_upscale.webui.host.patching import replaced
from lib_upscale.webui.upscalers import engine
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
        replaced(engine.engine, "_model_cache", model_cache.ModelCache("cpu")),
    ):
        line = plan_summary((50, 40), {}, values)
    assert "download it again" in line
    assert "data-again" not in line
