"""Reads the scripts of extensions, each with its extension's folder on the path for as long as it is read."""

import importlib.util
import inspect
import sys
from collections import namedtuple
from pathlib import Path

from modules import errors, script_callbacks, scripts_postprocessing
from modules.shared_cmd_options import cmd_opts

AlwaysVisible = object()
scripts_data, postprocessing_scripts_data = [], []
scripts_postproc = None


ScriptClassData = namedtuple("ScriptClassData", ["script_class", "path", "basedir", "module"])


class Script:
    """A script of txt2img and img2img."""


def load_scripts():
    """Everything anew."""
    global scripts_postproc
    scripts_data.clear()
    postprocessing_scripts_data.clear()
    script_callbacks.clear_callbacks()
    path = sys.path
    for extension in sorted(Path(cmd_opts.data_dir, "extensions").iterdir()):
        for file in sorted((extension / "scripts").glob("*.py")):
            sys.path = [str(extension), *path]
            spec = importlib.util.spec_from_file_location(file.name, file)
            module = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except Exception:
                errors.report(f"Error loading script: {file.name}", exc_info=True)
            sys.path = path
            for value in list(vars(module).values()):
                data = ScriptClassData(value, str(file), str(extension), module)
                if inspect.isclass(value) and issubclass(value, Script):
                    scripts_data.append(data)
                elif inspect.isclass(value) and issubclass(value, scripts_postprocessing.ScriptPostprocessing):
                    postprocessing_scripts_data.append(data)
    scripts_postproc = scripts_postprocessing.ScriptPostprocessingRunner()
