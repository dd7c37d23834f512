"""ncnn's own results, and how far ours are from them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from spandrel import MAIN_REGISTRY, ArchRegistry, ModelDescriptor

from lib_upscale.models.formats.ncnn.reader import read_ncnn
from lib_upscale.models.identification.resized_compact import RESIZED_COMPACT

TOLERANCE = 5e-6


@cache
def _registry() -> ArchRegistry:
    registry = ArchRegistry()
    registry.add(*MAIN_REGISTRY.architectures(), RESIZED_COMPACT)
    return registry


def load(param: Path) -> ModelDescriptor:
    """What spandrel makes of the tensors, with the one architecture that it lacks."""
    model = _registry().load(read_ncnn(param).load())
    model.model.eval()
    return model


class NcnnRefusesError(Exception):
    """ncnn itself does not take the pair."""


def computed_by_ncnn(param: Path, picture: torch.Tensor) -> torch.Tensor:
    """ncnn's own result in single precision; `picture` is CHW."""
    ncnn = pytest.importorskip("ncnn", reason="the ncnn package is not installed")
    net = ncnn.Net()
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "winograd_convolution"):
        setattr(net.opt, f"use_{option}", False)
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = 1
    if net.load_param(str(param)) != 0 or net.load_model(str(param.with_suffix(".bin"))) != 0:
        raise NcnnRefusesError(param.name)
    try:
        first, last = net.input_names()[0], net.output_names()[0]
    except UnicodeDecodeError as error:  # ncnn's Python side takes no other names
        raise NcnnRefusesError(param.name) from error
    extractor = net.create_extractor()
    content = np.ascontiguousarray(picture.numpy())
    extractor.input(first, ncnn.Mat(content).clone())
    code, result = extractor.extract(last)
    assert code == 0
    return torch.from_numpy(np.array(result))


def difference(param: Path, picture: torch.Tensor) -> float:
    """The largest between our network and ncnn."""
    with torch.inference_mode():
        ours = load(param).model(picture[None])[0]
    return apart(ours, computed_by_ncnn(param, picture))


def apart(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference; a share of the largest value where random weights lead beyond 0..1."""
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1))
