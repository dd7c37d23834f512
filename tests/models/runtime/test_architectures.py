"""Every architecture as it is run here, output against output: against spandrel's own loader and its own call.

A precision is the one that was asked for where the network works in it, and float32 with a word where it does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from spandrel import ModelLoader

from lib_upscale import UpscaleSettings, plan_and_upscale
from lib_upscale.errors import UnusableModelError
from lib_upscale.image.picture import Picture
from lib_upscale.models.identification.architectures import missing_architectures, registry
from lib_upscale.models.library import Models
from lib_upscale.models.runtime.model import Model
from tests.helpers import models_in
from tests.models import networks

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]  # of spandrel's constructors; minutes in all

LARGE = {"AdaCode", "AuraSR", "CodeFormer", "DDColor", "FeMaSR", "GFPGAN", "LaMa", "MAT", "RestoreFormer"}
"""What is built for faces, masks or one size of image: run by their facts alone, or too slow for every size."""

WIDTH, HEIGHT = 45, 37
"""Odd, and no multiple of any window."""


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with networks.quick_init():
        yield


@dataclass
class Own:
    """A network in a person's folder."""

    models: Models
    path: Path
    input_channels: int

    def model(self, precision: str = "full") -> Model:
        """As the cache loads it."""
        return self.models.cache.get(self.models.find(self.path.stem).identity, precision)

    def pixels(self) -> NDArray[np.uint8]:
        """An image with structure at its edges."""
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        waves = [np.sin(x / (3 + c)) * 60 + np.cos(y / (2 + c)) * 60 + 128 for c in range(self.input_channels)]
        return np.stack(waves, axis=2).astype(np.uint8)

    @cached_property
    def by_spandrel(self) -> torch.Tensor | str:
        """What spandrel's own loader and call give, or why they give no image."""
        descriptor = ModelLoader(registry=registry()).load_from_file(self.path)
        descriptor.model.eval().float()
        try:
            with torch.inference_mode():
                result: torch.Tensor = descriptor(as_batch(self.pixels()))
        except Exception as error:
            return f"spandrel's own call fails at this size: {type(error).__name__}: {error}"
        if not bool(torch.isfinite(result).all()):
            return "with random weights spandrel's own call gives values that are not numbers"
        return result


@pytest.fixture(scope="module", params=[name for name in networks.IDS if name not in LARGE])
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Own:
    """A small network of each architecture that enlarges or restores."""
    architecture: str = request.param
    if architecture in missing_architectures():
        pytest.skip(f"the installed spandrel has no {architecture}")
    try:
        weights = networks.weights(architecture)
    except TypeError as error:
        pytest.skip(f"the installed spandrel builds {architecture} otherwise: {error}")
    path = networks.save(tmp_path_factory.mktemp("own") / f"{architecture}.pth", weights)
    models = models_in(path.parent)
    facts = models.find(architecture).identity.network
    assert facts is not None
    return Own(models, path, facts.input_channels)


def as_batch(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """NCHW, float32, 0..1."""
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]


def expected(own: Own) -> torch.Tensor:
    """What spandrel's own loader and call give for the image; a skip in words where they give none."""
    if isinstance(own.by_spandrel, str):
        pytest.skip(own.by_spandrel)
    return own.by_spandrel


def test_an_image_that_is_one_tile_is_what_the_network_gives(own: Own) -> None:
    pixels = own.pixels()
    right = expected(own)[0].permute(1, 2, 0).numpy() * 255
    if own.input_channels not in (1, 3):
        pytest.skip(f"an image has no {own.input_channels} channels")
    picture = Picture(pixels)
    settings = UpscaleSettings(model=own.path.stem)
    result = plan_and_upscale(picture, settings, own.models).picture.pixels.astype(np.float32)
    assert np.abs(result - right).max() <= 1.0


@pytest.mark.parametrize("precision", ["half", "bfloat16"])
def test_every_precision_gives_the_image_or_full_precision_with_a_word(own: Own, precision: str) -> None:
    batch = as_batch(own.pixels())
    right = expected(own)
    facts = own.models.find(own.path.stem).identity.network
    assert facts is not None
    if not (facts.supports_half if precision == "half" else facts.supports_bfloat16):
        with pytest.raises(UnusableModelError, match="set the precision to auto"):
            own.model(precision)
        return
    model = own.model(precision)
    result = model(batch)
    assert bool(torch.isfinite(result).all())
    if model.dtype == torch.float32:
        assert "full precision" in model.precision_note
        assert float((result - right).abs().max()) * 255 <= 1.0
    else:
        assert model.precision_note == ""
        assert float((result - right).abs().mean()) * 255 <= 8.0


def test_the_hosts_autocast_changes_nothing(own: Own) -> None:
    batch = as_batch(own.pixels())
    before = batch.clone()
    model = own.model()
    try:
        outside = model(batch)
    except UnusableModelError as error:
        pytest.skip(f"its small stand-in does not run at this size: {error}")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = model(batch)
    assert torch.equal(outside.nan_to_num(), inside.nan_to_num())
    assert torch.equal(batch, before), "what goes in stays as it was"
