"""Backends other than torch's eager mode: torch.compile and OpenVINO. Both are options."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from lib_upscale.errors import SettingsError

__all__ = ["accelerator"]

Runner = Callable[[torch.Tensor], torch.Tensor]


def accelerator(backend: str, device: torch.device) -> Callable[[Any], Runner] | None:
    """Return what makes a spandrel descriptor run on a backend.

    Args:
        backend: A value of `settings.upscale.Backend`.
        device: Where the network is to run.

    Returns:
        A function from a descriptor to what is called instead of it; None for torch itself.

    Raises:
        SettingsError: The package that the backend needs is not installed, or it does not run on such a device.
    """
    if backend == "compile":
        return _compile
    if backend == "openvino":
        if find_spec("openvino") is None or find_spec("onnx") is None:
            raise SettingsError(
                "The backend openvino needs the packages openvino and onnx", "pip install 'upscale-plus[openvino]'"
            )
        if device.type != "cpu":
            raise SettingsError(
                f"The backend openvino runs on a CPU, not on {device.type}",
                "set the device to cpu or the backend to torch",
            )
        return _OpenVino
    return None


def _compile(descriptor: Any) -> Runner:
    # On this instance only; equal tiles mean that it compiles once for each image size.
    module = descriptor.model
    module.forward = torch.compile(module.forward)
    return descriptor  # type: ignore[no-any-return]


class _OpenVino:
    """A network compiled by OpenVINO for a CPU, once for each tile size, of which the last few are kept.

    It is converted by way of ONNX: OpenVINO's own conversion of a torch module takes a minute for a transformer.
    """

    KEPT = 4

    def __init__(self, descriptor: Any) -> None:
        self._descriptor = descriptor
        self._compiled: dict[tuple[int, ...], Any] = {}

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        height, width = batch.shape[2:]
        padded = _pad(batch, *self._descriptor.size_requirements.get_padding(width, height))
        scale = self._descriptor.scale
        return self._run(padded)[..., : height * scale, : width * scale]

    def _run(self, batch: torch.Tensor) -> torch.Tensor:
        values = np.ascontiguousarray(batch.float().cpu().numpy())
        if values.shape not in self._compiled:
            while len(self._compiled) >= self.KEPT:  # images of many sizes would fill the memory
                del self._compiled[next(iter(self._compiled))]
            self._compiled[values.shape] = self._compile(torch.from_numpy(values))
        (result,) = self._compiled[values.shape]([values]).values()
        return torch.from_numpy(np.array(result)).clamp_(0, 1).to(batch.device)

    def _compile(self, sample: torch.Tensor) -> Any:
        import openvino

        core = openvino.Core()
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        return core.compile_model(core.read_model(io.BytesIO(_export_onnx(self._descriptor, sample))), "CPU", options)


def _pad(batch: torch.Tensor, right: int, bottom: int) -> torch.Tensor:
    """Pad as spandrel does around a network's call: reflected as far as that goes, then repeated."""
    if not right and not bottom:
        return batch
    reflected = (min(right, batch.shape[3] - 1), min(bottom, batch.shape[2] - 1))
    batch = torch.nn.functional.pad(batch, (0, reflected[0], 0, reflected[1]), "reflect")
    return torch.nn.functional.pad(batch, (0, right - reflected[0], 0, bottom - reflected[1]), "replicate")


def _export_onnx(descriptor: Any, sample: torch.Tensor) -> bytes:
    """Export the network as ONNX, for inputs of that shape, with what spandrel does around the module's call."""
    call = getattr(descriptor, "_call_fn", None) or (lambda module, image: module(image))

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = descriptor.model

        def forward(self, image: torch.Tensor) -> Any:
            return call(self.network, image)

    # The exporter that traces: the newer one needs a further package and fails on some of these networks.
    options: dict[str, Any] = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    file: Any = io.BytesIO()  # torch takes it, whatever its stubs say
    with torch.no_grad(), warnings.catch_warnings():
        # Tracing warns of every size that it takes for fixed, which is right here: tiles are equal.
        warnings.simplefilter("ignore")
        torch.onnx.export(Whole().eval(), (sample,), file, opset_version=17, input_names=["image"], **options)
    return bytes(file.getvalue())
