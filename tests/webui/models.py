"""Small networks with random weights, as real architectures, laid into the folders of a WebUI."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

NEAREST = "2x_Nearest"
"""A Compact network that repeats each pixel: what it makes is known exactly."""


def compact(scale: int) -> dict[str, torch.Tensor]:
    """A Compact network (SRVGGNet, 4 features, one convolution) that adds nothing to the repeated pixels."""
    torch.manual_seed(scale)
    weights = {
        "body.0.weight": torch.randn(8, 3, 3, 3) / 6,
        "body.0.bias": torch.zeros(8),
        "body.1.weight": torch.rand(8),
        "body.2.weight": torch.randn(8, 8, 3, 3) / 9,
        "body.2.bias": torch.zeros(8),
        "body.3.weight": torch.rand(8),
        "body.4.weight": torch.zeros(3 * scale**2, 8, 3, 3),
        "body.4.bias": torch.zeros(3 * scale**2),
    }
    return {name: tensor.contiguous() for name, tensor in weights.items()}


def swinir() -> dict[str, torch.Tensor]:
    """A small SwinIR of scale 2, as spandrel builds it."""
    from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR

    torch.manual_seed(0)
    network = SwinIR(
        upscale=2,
        img_size=64,
        window_size=8,
        img_range=1.0,
        depths=[2, 2],
        embed_dim=16,
        num_heads=[2, 2],
        mlp_ratio=2,
        upsampler="pixelshuffledirect",
        resi_connection="1conv",
    )
    return dict(network.state_dict())


def lora() -> dict[str, torch.Tensor]:
    """What a LoRA of Stable Diffusion looks like."""
    name = "lora_unet_down_blocks_{}_attentions_0_proj_in"
    weights: dict[str, torch.Tensor] = {}
    for block in range(2):
        prefix = name.format(block)
        weights[f"{prefix}.lora_down.weight"] = torch.randn(4, 8)
        weights[f"{prefix}.lora_up.weight"] = torch.randn(8, 4)
        weights[f"{prefix}.alpha"] = torch.tensor(4.0)
    return weights


def place_models(models: Path) -> None:
    """The models that the tests expect, in the folders where people put them."""
    for folder in ("ESRGAN", "SwinIR", "DAT", "upscale_models/deep/er", "GFPGAN"):
        (models / folder).mkdir(parents=True, exist_ok=True)
    torch.save(compact(2), models / "ESRGAN" / f"{NEAREST}.pth")
    save_file(compact(3), models / "ESRGAN" / "3x_Nearest.safetensors")
    torch.save({"params": swinir()}, models / "ESRGAN" / "SwinIR_in_ESRGAN.pth")
    torch.save(lora(), models / "ESRGAN" / "detail_lora.pt")
    save_file(lora(), models / "ESRGAN" / "other_lora.safetensors")
    (models / "ESRGAN" / "4x_page.pth").write_bytes(b"<!DOCTYPE html><html><body>404 Not Found</body></html>")
    save_file(compact(4), models / "upscale_models" / "deep" / "er" / "4x_Nearest.safetensors")
    torch.save(compact(1), models / "DAT" / "1x_Clean.pth")
    torch.save(compact(2), models / "2x_Loose.pth")
