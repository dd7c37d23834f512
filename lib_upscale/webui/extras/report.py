"""What happened in an Extras job, for the console and for the text beside the results."""

from __future__ import annotations

import html
from dataclasses import dataclass, field

__all__ = ["Report", "error_as_html", "name_problem"]


@dataclass
class Report:
    """Counts of one job."""

    failed: list[tuple[str, str]] = field(default_factory=list)
    """Of each image that failed: its name and the problem."""
    not_images: int = 0
    skipped: int = 0
    own_results: int = 0
    """Files that were left out as they are results beside their sources."""
    renamed: int = 0
    interrupted: bool = False
    empty: str = ""
    """What to say of a folder without files."""
    skips: int = 0
    """Images that the person skipped."""

    def lines(self) -> list[str]:
        """Return what happened; empty if there is nothing to say."""
        lines = []
        if self.failed:
            lines.append(f"{_count(len(self.failed), 'image')} failed:")
            lines += [name_problem(name, problem) for name, problem in self.failed]
        if self.skipped:
            lines.append(f"{_count(self.skipped, 'image')} skipped, as the result already exists")
        if self.own_results:
            lines.append(f"{_count(self.own_results, 'file')} left out, a result (-upscaled) of another file there")
        if self.not_images:
            lines.append(f"{_count(self.not_images, 'file')} skipped, not an image")
        if self.renamed:
            lines.append(f"{_count(self.renamed, 'result')} renamed, so that nothing was overwritten")
        if self.empty:
            lines.append(self.empty)
        if self.interrupted:
            lines.append("Interrupted.")
        if self.skips:
            lines.append("Skipped." if self.skips == 1 else f"{self.skips} images skipped.")
        return lines

    def as_html(self) -> str:
        """Return what happened as the page shows it."""
        paragraphs = "".join(f"<p>{html.escape(line)}</p>" for line in self.lines())
        return f"<div class='upscale-plus-notes'>{paragraphs}</div>" if paragraphs else ""


def error_as_html(error: Exception) -> str:
    """Return an error as the page shows it, without its name."""
    return f"<div class='error'>{html.escape(str(error))}</div>"


def name_problem(name: str, problem: str) -> str:
    """Put the image's name before its problem; many problems begin with it already."""
    return problem if problem.startswith(name) else f"{name}: {problem}"


def _count(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count != 1 else ''}"
