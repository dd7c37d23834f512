"""In which precision a network computes: what was seen to work, whatever its authors say, and alike in every thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lib_upscale import UpscaleSettings, plan_upscale
from lib_upscale.device import is_out_of_memory
from lib_upscale.errors import UnusableModelError
from lib_upscale.image.geometry import Size
from lib_upscale.models.library import Models
from lib_upscale.models.runtime import precision as rules
from lib_upscale.models.runtime.model import Model
from lib_upscale.settings.upscale import Precision
from tests.helpers import compact, models_in, write
from tests.models import networks

pytestmark = pytest.mark.filterwarnings("ignore")  # of spandrel's constructors


def swinir(folder: Path) -> Models:
    """A SwinIR, which spandrel says supports bfloat16, and which mixes float32 into it."""
    networks.save(folder / "swin.pth", networks.weights("SwinIR"))
    return models_in(folder, folder / "notes.json")


def load(models: Models, precision: str) -> Model:
    """As the cache loads it."""
    return models.cache.get(models.find("swin").identity, precision)


def test_a_precision_that_fails_gives_way_to_full_with_a_word_in_the_plan(tmp_path: Path) -> None:
    models = swinir(tmp_path)
    plan = plan_upscale(Size(20, 20), UpscaleSettings(model="swin", precision=Precision.BFLOAT16), models)
    assert load(models, "bfloat16").dtype == torch.float32
    assert any("swin computes in full precision: it fails in bfloat16" in remark for remark in plan.remarks)


def test_a_trial_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(swinir(tmp_path), "bfloat16")

    def never(model: Model) -> bool:
        raise AssertionError("it was tried before")

    monkeypatch.setattr(rules, "_try", never)
    again = models_in(tmp_path, tmp_path / "notes.json")
    assert load(again, "bfloat16").dtype == torch.float32


def test_automatic_tries_what_a_card_is_fast_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No card is needed to see what would be tried on one that has bfloat16."""
    model = load(swinir(tmp_path), "full")
    monkeypatch.setattr(rules, "suits_bfloat16", lambda device: True)
    assert rules.candidates(model, "auto", torch.device("cuda")) == [torch.bfloat16]
    assert rules.candidates(model, "auto", torch.device("cpu")) == []


def test_a_network_that_works_keeps_its_precision(tmp_path: Path) -> None:
    write(tmp_path / "fast.safetensors", compact(2))
    models = models_in(tmp_path)
    model = models.cache.get(models.find("fast").identity, "bfloat16")
    assert (model.dtype, model.precision_note) == (torch.bfloat16, "")


def test_what_fails_in_full_precision_too_is_not_held_against_a_precision(tmp_path: Path) -> None:
    """A batch of the wrong channels fails whatever the precision; the next start must not be slow for it."""
    write(tmp_path / "fast.safetensors", compact(2))
    models = models_in(tmp_path, tmp_path / "notes.json")
    model = models.cache.get(models.find("fast").identity, "bfloat16")
    with pytest.raises(UnusableModelError):
        model(torch.rand(1, 5, 16, 16))
    again = models_in(tmp_path, tmp_path / "notes.json")
    assert again.cache.get(again.find("fast").identity, "bfloat16").dtype == torch.bfloat16


def test_measuring_beside_a_thread_that_computes_changes_nothing(tmp_path: Path) -> None:
    """The line on the page measures in another thread than the job; the network must not change under it."""
    write(tmp_path / "fast.safetensors", compact(2))
    models = models_in(tmp_path)
    model = models.cache.get(models.find("fast").identity, "bfloat16")
    batch = torch.rand(1, 3, 40, 40)
    right = model(batch)
    problems: list[str] = []

    def repeat(work: Callable[[], bool]) -> None:
        try:
            if not all(work() for _ in range(40)):
                problems.append("another result")
        except Exception as error:  # whatever it is, the thread must say so
            problems.append(f"{type(error).__name__}: {error}")

    def measure() -> bool:
        with model.full_precision() as exact:
            return exact(batch).dtype == torch.float32 and exact.dtype == torch.float32

    works: tuple[Callable[[], bool], ...] = (lambda: torch.equal(model(batch), right), measure)
    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert model.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported", True),
        ("std::bad_alloc", True),
        ("can't start new thread", True),
        ("CUDA error: an illegal memory access was encountered", False),
        ("The size of tensor a (64) must match the size of tensor b (32)", False),
    ],
)
def test_what_says_that_memory_ran_out(text: str, expected: bool) -> None:
    assert is_out_of_memory(RuntimeError(text)) is expected
