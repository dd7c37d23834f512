"""The command line: `python -m lib_upscale`. It connects people's words with the library and decides nothing else."""

from __future__ import annotations

import click

from lib_upscale.cli.models_commands import identify, models
from lib_upscale.cli.upscale_command import upscale

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Enlarge pictures with any upscaler model."""


main.add_command(upscale)
main.add_command(identify)
main.add_command(models)
