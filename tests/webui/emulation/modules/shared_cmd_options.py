"""The arguments, with those of extensions, whose preload.py runs while they are read."""

import argparse
import importlib.util
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--data-dir", required=True)
parser.add_argument("--api", action="store_true")
parser.add_argument("--nowebui", action="store_true")
parser.add_argument("--lowvram", action="store_true")
parser.add_argument("--medvram", action="store_true")
parser.add_argument("--api-auth", default=None)
parser.add_argument("--esrgan-models-path", default=None)
early, _ = parser.parse_known_args()

for extension in sorted(Path(early.data_dir, "extensions").iterdir()):
    spec = importlib.util.spec_from_file_location("preload.py", extension / "preload.py")
    preload = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(preload)
    preload.preload(parser)

cmd_opts, _ = parser.parse_known_args()
