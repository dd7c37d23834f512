"""The progress bar, a line for each file, and the table at the end."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from lib_upscale.cli.app import printable, say
from lib_upscale.cli.batch import Interrupt, Outcome, Result
from lib_upscale.cli.inputs import FileJob
from lib_upscale.image.io.notes import LOGGER, NOTE
from lib_upscale.progress import Callback, Clock, duration

__all__ = ["Bar", "Notes", "model_progress", "table"]

_FORMAT = "{desc} |{bar}| {percentage:3.0f}% {elapsed}<{remaining}"


class Bar:
    """A bar over all files, each as long as its `weight`, on a terminal; a line for each file anywhere."""

    def __init__(self, weights: Mapping[FileJob, float], interrupt: Interrupt) -> None:
        self._weights = weights
        self._interrupt = interrupt
        self._names = {job: f"[{number}/{len(weights)}] {job.source.name}" for number, job in enumerate(weights, 1)}
        self._passed = 0.0
        # None: only on a terminal. In a log file every step of the bar would be a line.
        self._bar: Any = tqdm(total=sum(weights.values()), bar_format=_FORMAT, disable=None, dynamic_ncols=True)
        self._current: FileJob | None = None

    def start_file(self, job: FileJob) -> None:
        """Show that a file is about to be computed: all before it are past."""
        names = list(self._names)
        self._passed = sum(self._weights[other] for other in names[: names.index(job)])
        self._current = job
        self._show(0.0, "")

    def finish_file(self, result: Result) -> None:
        """Print a line for a file that is done or has failed."""
        if result.outcome is Outcome.DONE:
            text = f"{result.job.source} -> {result.job.output}, {duration(result.seconds)}"
        else:
            text = f"{result.job.source}: {result.outcome.value}, {result.reason}"
        with tqdm.external_write_mode():
            say(text)

    def progress(self) -> Clock:
        """The progress of the current file; it moves by the clock, too, inside `with`."""
        return Clock(self._show, lambda: self._interrupt.asked)

    def close(self) -> None:
        """Take the bar off the terminal."""
        self._bar.close()

    def _show(self, fraction: float, text: str) -> None:
        if self._current is None:
            return
        self._bar.set_description_str(
            printable(" ".join(filter(None, (self._names[self._current], text)))), refresh=False
        )
        self._bar.update(max(0.0, self._passed + fraction * self._weights[self._current] - self._bar.n))
        self._bar.refresh()


def model_progress() -> Callback:
    """Shows on a terminal which new model file is being identified."""
    bar: Any = tqdm(total=1.0, bar_format="{desc}", disable=None, leave=False)

    def show(_: float, text: str) -> None:
        bar.set_description_str(printable(text))

    return Callback(show)


class Notes(logging.Handler):
    """Collects what the library logs of files (`image.io.notes`) while it is attached, inside `with`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._files: dict[str, list[str]] = {}
        """By what there is to know."""

    def __enter__(self) -> Notes:
        logging.getLogger(LOGGER).addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger(LOGGER).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a record."""
        if record.msg == NOTE and isinstance(record.args, tuple) and len(record.args) == 2:
            file, text = map(str, record.args)
        else:
            file, text = "", record.getMessage()
        self._files.setdefault(text, []).append(file)

    def lines(self) -> list[str]:
        """One for each thing to know, however many files it is true of."""
        lines = []
        for text, files in self._files.items():
            distinct = list(dict.fromkeys(files))
            others = len(distinct) - 1
            more = f" and {others} other file{'s' if others > 1 else ''}" if others else ""
            lines.append(f"{printable(distinct[0])}{more}: {printable(text)}" if distinct[0] else printable(text))
        return lines


def table(
    results: Sequence[Result],
    total: int,
    missing: Sequence[tuple[str, str]],
    left_out: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> list[str]:
    """The closing lines: how many files were done, skipped and not, and why; which were left out; what else to know."""
    failed = [(str(result.job.source), result.reason) for result in results if result.outcome is Outcome.FAILED]
    failed += list(missing)
    counts = {outcome: sum(result.outcome is outcome for result in results) for outcome in Outcome}
    counts[Outcome.FAILED] = len(failed)
    lines = [f"{outcome.value:<12}{count:>6}" for outcome, count in counts.items()]
    if counts[Outcome.SKIPPED]:
        lines[1] += "  made before with the same settings"
    if total > len(results):
        lines.append(f"{'not started':<12}{total - len(results):>6}")
    # Names that open a line are those of the counts: all else is indented.
    no_images = sum(not reason for _, reason in left_out)
    failed += [(name, f"left out, {reason}") for name, reason in left_out if reason]
    width = max((len(printable(name)) for name, _ in failed), default=0)
    lines += [f"  {printable(name):<{width}}  {printable(reason)}" for name, reason in failed]
    lines += [f"  {line}" for line in notes]
    if no_images:
        lines.append(
            f"  left out: {no_images} file{'s' if no_images > 1 else ''} that no image format was recognized in"
        )
    return lines
