"""Loads a checkpoint as a network: this library's reader, spandrel's architectures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lib_upscale.errors import DamagedFileError, MissingArchitectureError, ModelFileError, NotAnUpscalerError
from lib_upscale.models.formats.reader import read_checkpoint
from lib_upscale.models.identification.other_models import identify_other_model

if TYPE_CHECKING:
    from spandrel import ModelDescriptor

    from lib_upscale.models.identification.unavailable import Unavailable

__all__ = ["load_network"]


def load_network(path: Path) -> ModelDescriptor:
    """Load the network in a file.

    Args:
        path: Of any format that `read_checkpoint` reads.

    Returns:
        On the CPU, float32, in evaluation mode, without gradients.

    Raises:
        NotAnUpscalerError: It is a known model of another kind.
        MissingArchitectureError: Its tensors belong to no architecture that is installed; it says to which, if known.
        DamagedFileError: Its tensors don't make up a whole network of their architecture.
        ModelFileError: Whatever else `read_checkpoint` raises.
    """
    import torch

    from lib_upscale.models.identification.network_facts import (
        check_block_numbers,
        match_architecture,
        match_unavailable,
    )
    from lib_upscale.models.runtime.host_patches import use_original_forwards

    checkpoint = read_checkpoint(path)
    match = match_architecture(checkpoint.tensors)
    if match is None:
        other_model = identify_other_model(checkpoint)
        if other_model is not None:
            raise NotAnUpscalerError(path, other_model.problem, other_model.advice)
        _refuse_unavailable(path, match_unavailable(checkpoint.tensors))
        raise MissingArchitectureError(
            path, "has the tensors of no known architecture", "update Upscale Plus if its architecture is new"
        )
    tensors = checkpoint.load()
    try:
        check_block_numbers(tensors)
        # Constructors draw random weights first; a host's own random numbers must not depend on that.
        with torch.random.fork_rng(devices=[]):
            model = match.load(tensors, checkpoint.numbers)
    except ModelFileError:
        raise
    except Exception as error:  # whatever a constructor fails at, the file is the reason
        _refuse_unavailable(path, match_unavailable(checkpoint.tensors))
        raise DamagedFileError(
            path,
            f"has the names of {match.architecture.name}, but its tensors do not make up a whole network",
            f"download it again, or update {match.package} if it is a new variant",
        ) from error
    use_original_forwards(model.model)
    model.model.eval()
    model.model.requires_grad_(False)
    model.model.float()
    return model


def _refuse_unavailable(path: Path, network: Unavailable | None) -> None:
    if network is not None:
        raise MissingArchitectureError(path, network.problem, network.advice)
