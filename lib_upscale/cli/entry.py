"""The command line, `upscale-plus` or `python -m lib_upscale`: it parses arguments and calls the library."""

from __future__ import annotations

import click

from lib_upscale.cli.models_commands import identify, models
from lib_upscale.cli.upscale_command import upscale

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Upscale images with any upscaler model."""


main.add_command(upscale)
main.add_command(identify)
main.add_command(models)
