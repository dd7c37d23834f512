"""Describing networks leaves the rest of the process alone: other threads, random numbers, registries."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_upscale.models.identification import network_facts
from lib_upscale.models.identification.architectures import EXPECTED, missing_architectures, registry
from lib_upscale.models.identification.identifier import identify
from lib_upscale.models.identity import Kind
from lib_upscale.models.runtime.loader import load_network
from tests.models import networks

NAMES = ("SwinIR", "DAT", "ESRGAN", "SPAN")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("networks")
    return {name: networks.save(folder / f"{name}.pth", networks.weights(name)) for name in NAMES}


def test_other_threads_notice_nothing(files: dict[str, Path]) -> None:
    """Tensors made meanwhile are real ones, on the CPU, and copies copy."""
    stop = threading.Event()
    wrong: list[str] = []

    def work() -> None:
        while not stop.is_set():
            made = torch.ones(5000)
            copy = torch.zeros(5000)
            copy.copy_(made)
            if made.is_meta or float(copy.sum()) != 5000.0 or not torch.nn.Linear(3, 3).weight.abs().sum().item():
                wrong.append(str(made.device))
                return

    bystander = threading.Thread(target=work)
    bystander.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(identify, list(files.values()) * 3))
    finally:
        stop.set()
        bystander.join()
    assert wrong == []
    assert [identity.architecture for identity in found] == list(files) * 3


def test_random_numbers_go_on_as_if_nothing_had_happened(files: dict[str, Path]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    for path in files.values():
        identify(path)
        load_network(path)
    assert torch.equal(torch.rand(4), expected)


def test_no_warnings_of_what_is_done_on_purpose(files: dict[str, Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=UserWarning, message="torch.meshgrid")
        warnings.filterwarnings("ignore", category=UserWarning, message="Initializing zero-element")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        for path in files.values():
            assert identify(path).usable


@pytest.mark.slow
def test_facts_do_not_depend_on_half_precision_or_wrapping(tmp_path: Path, files: dict[str, Path]) -> None:
    for name, path in files.items():
        tensors = {key: t.half() if t.is_floating_point() else t for key, t in networks.weights(name).items()}
        for prefix in ("module.", "model.", "net."):
            prefixed = {prefix + key: tensor for key, tensor in tensors.items()}
            half = networks.save(tmp_path / f"{name}.ckpt", prefixed, "state_dict")
            assert identify(half).network == identify(path).network
            assert next(load_network(half).model.parameters()).dtype == torch.float32


def test_a_loaded_network_upscales(files: dict[str, Path]) -> None:
    model = load_network(files["ESRGAN"])
    identity = identify(files["ESRGAN"])
    assert identity.network is not None
    result = model(torch.rand(1, 3, 8, 8))
    assert result.shape == (1, 3, 8 * identity.network.scale, 8 * identity.network.scale)
    assert torch.isfinite(result).all()


def test_the_registry_is_a_copy() -> None:
    import spandrel

    before = list(spandrel.MAIN_REGISTRY)
    known = registry()
    assert known is not spandrel.MAIN_REGISTRY
    assert known is registry()
    assert list(spandrel.MAIN_REGISTRY) == before
    assert {str(support.architecture.id) for support in known} >= set(EXPECTED) - set(missing_architectures())


def test_what_the_host_adds_is_known_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host may add architectures to spandrel's registry, and may have added the extra ones as well."""
    import spandrel

    class Blur(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.the_blur = torch.nn.Conv2d(3, 3, 3, padding=1)

    class BlurArch(spandrel.Architecture):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(id="Blur", detect=lambda state: "the_blur.weight" in state)

        def load(self, state_dict: dict[str, torch.Tensor]) -> object:
            numbers = {"scale": 1, "input_channels": 3, "output_channels": 3}
            return spandrel.ImageModelDescriptor(
                Blur(), state_dict, self, "Restoration", [], supports_half=True, supports_bfloat16=True, **numbers
            )

    path = networks.save(tmp_path / "blur.pth", dict(Blur().state_dict()))
    assert identify(path).kind is Kind.UNKNOWN
    source = spandrel.MAIN_REGISTRY
    for attribute in ("_architectures", "_ordered", "_by_id"):
        monkeypatch.setattr(source, attribute, getattr(source, attribute))
    source.add(spandrel.ArchSupport.from_architecture(BlurArch()))
    assert identify(path).kind is Kind.RESTORER
    assert identify(path).architecture == "Blur"


def test_a_construction_that_takes_too_long_ends(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_facts, "MAX_SECONDS", -1.0)
    identity = identify(files["SwinIR"])
    assert identity.kind is Kind.DAMAGED
    assert "impossible size" in str(identity.problem)


def test_the_clock_is_not_looked_at_for_every_call(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """On some systems a look at a thread's time costs more than the call that it guards."""
    looks: list[float] = []

    class Clock:
        @staticmethod
        def thread_time() -> float:
            looks.append(0.0)
            return 0.0

    class Counted(network_facts._MetaBuild):
        calls_in_all = 0

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            Counted.calls_in_all += 1
            return super().__torch_function__(func, types, args, kwargs)

    monkeypatch.setattr(network_facts, "time", Clock)
    monkeypatch.setattr(network_facts, "_MetaBuild", Counted)
    assert identify(files["SwinIR"]).kind is Kind.UPSCALER
    assert Counted.calls_in_all > 500
    assert len(looks) < 2 + Counted.calls_in_all / 32
