"""Identifies a file: an upscaler and what it needs, or something else and where that belongs.

torch and spandrel are imported only once a file's tensors are those of no other kind of model.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lib_upscale.errors import (
    DamagedFileError,
    MissingArchitectureError,
    ModelFileError,
    NotAnUpscalerError,
    UnsafeFileError,
)
from lib_upscale.models.formats.checkpoint import Checkpoint, Container
from lib_upscale.models.formats.reader import read_checkpoint
from lib_upscale.models.identification.other_models import identify_other_model
from lib_upscale.models.identity import Identity, Kind, NetworkFacts

if TYPE_CHECKING:
    from lib_upscale.models.identification.network_facts import ArchitectureMatch

__all__ = ["identify", "problem_of"]

_KINDS = {
    "SR": Kind.UPSCALER,
    "Restoration": Kind.RESTORER,
    "FaceSR": Kind.FACE_RESTORER,
    "Inpainting": Kind.INPAINTING,
}
_MODULES = "torch.nn.modules."
_FACE_FOLDERS = {"GFPGAN": "models/GFPGAN", "CodeFormer": "models/Codeformer"}


def identify(path: str | os.PathLike[str]) -> Identity:
    """Identify the file at `path` by the names and shapes of its tensors. Nothing in it is executed.

    Returns:
        What it is. A file that is damaged, unsafe, unknown or of another kind is an answer, not an error.

    Raises:
        ModelFileError: The path is missing, unreadable or a folder.
    """
    path = Path(path)
    try:
        checkpoint = read_checkpoint(path)
        return _identity(checkpoint)
    except DamagedFileError as error:
        return _refused(path, Kind.DAMAGED, error)
    except UnsafeFileError as error:
        return _refused(path, Kind.UNSAFE, error)
    except NotAnUpscalerError as error:
        kind = getattr(error, "kind", Kind.NCNN)
        return _refused(path, kind, error, getattr(error, "architecture", None))


def problem_of(identity: Identity) -> ModelFileError:
    """Make the error that says why `identity` can't be used as an upscaler, and what to do about it."""
    error = NotAnUpscalerError
    classes: dict[Kind, type[ModelFileError]] = {
        Kind.DAMAGED: DamagedFileError,
        Kind.UNSAFE: UnsafeFileError,
        Kind.UNKNOWN: MissingArchitectureError,
    }
    return classes.get(identity.kind, error)(
        identity.path, identity.problem or "cannot be used as an upscaler", identity.advice or ""
    )


def _refused(path: Path, kind: Kind, error: ModelFileError, architecture: str | None = None) -> Identity:
    problem = error.problem
    # The error's text opens with the file's name, which an identity has in a field of its own.
    opening = f"{error.path.name} "
    if problem.startswith(opening):
        problem = problem[len(opening) :]
    if error.path.suffix.lower() == ".param":
        path = error.path  # either file of an ncnn pair names the pair
    return Identity(path, kind, architecture, None, problem, error.advice or None)


def _identity(checkpoint: Checkpoint) -> Identity:
    path = checkpoint.path
    other = identify_other_model(checkpoint) if checkpoint.container is not Container.NCNN else None
    if other is not None:
        return Identity(path, other.kind, other.architecture, None, other.problem, other.advice)
    if not checkpoint.tensors:
        return _without_tensors(checkpoint)

    from lib_upscale.models.identification.network_facts import (
        ImpossibleNetworkError,
        inspect_network,
        match_architecture,
        match_unavailable,
    )

    match, refusal = match_architecture(checkpoint.tensors), None
    if match is not None:
        try:
            return _network(path, inspect_network(checkpoint, match))
        except ImpossibleNetworkError as error:
            refusal = _impossible(path, match, error)
    unavailable = match_unavailable(checkpoint.tensors)
    if unavailable is not None:
        known = unavailable
        return Identity(path, Kind.UNKNOWN, known.architecture, None, known.problem, known.advice)
    return refusal or Identity(path, Kind.UNKNOWN, None, None, "has the tensors of no known architecture", None)


def _without_tensors(checkpoint: Checkpoint) -> Identity:
    """Nothing at all, or a network that was saved whole: its weights are the state of objects, which are not built."""
    path = checkpoint.path
    if any(marker.startswith(_MODULES) for marker in checkpoint.markers):
        problem = "holds a whole network as a Python object, which was not built: that could run anything"
        advice = "get a file of its weights alone (a state dict), as .safetensors or .pth"
        return Identity(path, Kind.UNKNOWN, None, None, problem, advice)
    return Identity(path, Kind.DAMAGED, None, None, "holds no weights", "download it again")


def _impossible(path: Path, match: ArchitectureMatch, error: Exception) -> Identity:
    name = match.architecture.name
    return Identity(
        path,
        Kind.DAMAGED,
        str(match.architecture.id),
        None,
        f"has the names of {name}, but its tensors do not make up a whole network ({_shortened(str(error))})",
        f"download it again, or update {match.package} if it is a new variant",
    )


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."


def _network(path: Path, facts: NetworkFacts) -> Identity:
    kind = _KINDS.get(facts.purpose, Kind.UNKNOWN)
    problem, advice = None, None
    if kind is Kind.FACE_RESTORER:
        folder = _FACE_FOLDERS.get(facts.architecture)
        problem = f"is a {facts.architecture_name} model, which restores faces, not an upscaler"
        advice = f"move it to {folder}" if folder else "use it in a program that restores faces"
    elif kind is Kind.INPAINTING:
        problem = f"is a {facts.architecture_name} model, which fills masked areas, not an upscaler"
        advice = "use it in a program that fills masked areas"
    elif kind is Kind.UNKNOWN:
        return Identity(path, kind, facts.architecture, None, f"is a network for {facts.purpose}", None)
    return Identity(path, kind, facts.architecture, facts, problem, advice)
