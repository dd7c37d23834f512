"""The host's scripts: those of generations, those of the Extras tab, and the X/Y/Z plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lib_upscale.webui.host.protocols import HostPostprocessor, HostProcessing, HostScript, HostScriptRunner

__all__ = [
    "empty_runner",
    "extras_scripts",
    "is_of_extras",
    "is_xyz_plot",
    "module_of",
    "overrides_hook",
    "postprocessing_module",
    "script_in_dropdown",
    "xyz_plot",
]

_XYZ_PLOT = "xyz_grid.py"
"""The name of the module that its script comes from."""


def empty_runner() -> HostScriptRunner:
    """A runner of scripts without any."""
    from modules import scripts

    runner: HostScriptRunner = scripts.ScriptRunner()
    return runner


def overrides_hook(script: HostScript, hooks: Sequence[str]) -> bool:
    """Whether a script does something in any of these hooks of the host."""
    from modules.scripts import Script

    return any(getattr(type(script), hook, None) is not getattr(Script, hook, None) for hook in hooks)


def is_of_extras(script: object) -> bool:
    """Whether a postprocessor is the one of the Extras tab: the settings can have others in txt2img and img2img."""
    from modules import scripts

    return any(other is script for other in scripts.scripts_postproc.scripts or ())


def extras_scripts() -> list[HostPostprocessor]:
    """The postprocessors of the Extras tab, in the order in which they run; those switched off are left out."""
    from modules import scripts

    return list(scripts.scripts_postproc.scripts_in_preferred_order())


def postprocessing_module() -> Any:
    """The host's module that runs jobs of the Extras tab."""
    from modules import postprocessing

    return postprocessing


def module_of(script: HostScript) -> Any:
    """The module of the file that a script comes from; None where it is not known."""
    from modules import scripts

    # Scripts are not among the loaded modules by name.
    return next((data.module for data in scripts.scripts_data if data.script_class is type(script)), None)


def script_in_dropdown(p: HostProcessing) -> HostScript | None:
    """The script of the Script dropdown that runs this generation, as the X/Y/Z plot does for each of its cells."""
    number = (p.script_args_value or (0,))[0]
    if not isinstance(number, int) or number <= 0 or p.scripts_value is None:
        return None
    return next(iter(p.scripts_value.selectable_scripts[number - 1 : number]), None)


def is_xyz_plot(script: HostScript) -> bool:
    """Whether a script is the X/Y/Z plot."""
    return type(script).__module__ == _XYZ_PLOT


def xyz_plot() -> Any:
    """The module of the host's X/Y/Z plot; None if it is switched off."""
    from modules import scripts

    for data in scripts.scripts_data:
        if data.script_class.__module__ == _XYZ_PLOT and hasattr(data.module, "axis_options"):
            return data.module
    return None
