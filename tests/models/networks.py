"""One small network of every architecture, with random weights, made by its package's own constructors."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.models import resselt_networks

_AURA = {
    "dim": 8,
    "init_dim": 8,
    "image_size": None,
    "input_image_size": None,
    "skip_connect_scale": 0.4,
    "style_network": {"dim_in": 16, "dim_out": 32, "depth": 2},
    "attn_depths": (2, 2, 2, 1, 1),
    "mid_attn_depth": 1,
    "num_conv_kernels": 2,
}
_SWIN = {"embed_dim": 24, "depths": [2, 2], "num_heads": [2, 2], "window_size": 8}

# id -> (class, its arguments); where only the class is named, its defaults are small enough.
_MAIN: dict[str, tuple[str, dict[str, object]]] = {
    "ATD": (
        "ATD",
        {"embed_dim": 24, "depths": [2, 2], "num_heads": [2, 2], "window_size": 8, "upsampler": "pixelshuffle"},
    ),
    "AuraSR": ("AuraSR", _AURA),
    "CRAFT": ("CRAFT", {"depths": [2], "num_heads": [6]}),
    "Compact": ("Compact", {"num_feat": 24, "num_conv": 4, "upscale": 2}),
    "DAT": ("DAT", {"embed_dim": 16, "depth": [2, 2], "num_heads": [2, 2], "split_size": [2, 8]}),
    "DCTLSA": ("DCTLSA", {"in_nc": 3, "nf": 55, "num_modules": 2, "out_nc": 3, "upscale": 4}),
    "DITN": ("DITN", {}),
    "DRCT": (
        "DRCT",
        {
            "embed_dim": 24,
            "depths": [6, 6],
            "num_heads": [6, 6],
            "window_size": 8,
            "gc": 12,
            "upscale": 2,
            "upsampler": "pixelshuffle",
        },
    ),
    "DRUNet": ("DRUNet", {"in_nc": 4, "out_nc": 3, "nc": [8, 16, 32, 64], "nb": 2}),
    "DnCNN": ("DnCNN", {"in_nc": 1, "out_nc": 1, "nc": 16, "nb": 5, "act_mode": "BR"}),
    "ESRGAN": ("ESRGAN", {"in_nc": 3, "out_nc": 3, "num_filters": 16, "num_blocks": 2, "scale": 4}),
    "FBCNN": ("FBCNN", {}),
    "FDAT": ("FDAT", {"embed_dim": 24, "num_groups": 1, "depth_per_group": 1, "upsampler_type": "pixelshuffle"}),
    "FFTformer": ("FFTformer", {"dim": 8, "num_blocks": [1, 1, 2], "num_refinement_blocks": 1}),
    "GFPGAN": ("GFPGAN", {}),
    "GRL": ("GRL", {"embed_dim": 24, "depths": [2, 2], "num_heads_window": [2, 2], "num_heads_stripe": [2, 2]}),
    "HAT": (
        "HAT",
        {"embed_dim": 48, "depths": [2], "num_heads": [2], "window_size": 8, "upscale": 2, "upsampler": "pixelshuffle"},
    ),
    "HVICIDNet": ("HVICIDNet", {"channels": [12, 12, 24, 48]}),
    "IPT": ("IPT", {"patch_size": 12, "n_feats": 16, "num_heads": 2, "num_layers": 2}),
    "KBNet": ("KBNet_s", {"width": 16, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}),
    "LaMa": ("LaMa", {}),
    "MMRealSR": ("MMRealSR", {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 16, "num_block": 2}),
    "MixDehazeNet": ("MixDehazeNet", {"embed_dims": [8, 16, 32, 16, 8], "depths": [1, 1, 2, 1, 1]}),
    "MoESR": ("MoESR", {"dim": 16, "n_blocks": 2, "n_block": 2}),
    "MoSR": ("MoSR", {"n_block": 3, "dim": 16}),
    "NAFNet": ("NAFNet", {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}),
    "OmniSR": ("OmniSR", {}),
    "PLKSR": ("PLKSR", {"dim": 16, "n_blocks": 2}),
    "RCAN": ("RCAN", {"n_resgroups": 2, "n_resblocks": 2, "n_feats": 16}),
    "RGT": ("RGT", {"embed_dim": 24, "depth": [2, 2], "num_heads": [2, 2]}),
    "RealCUGAN": ("UpCunet2x", {"in_channels": 3, "out_channels": 3}),
    "RestoreFormer": ("RestoreFormer", {}),
    "RetinexFormer": ("RetinexFormer", {}),
    "SAFMN": ("SAFMN", {"dim": 12, "n_blocks": 2, "ffn_scale": 2.0, "upscaling_factor": 4}),
    "SAFMNBCIE": ("SAFMNBCIE", {"dim": 12, "n_blocks": 2, "num_layers": 1, "ffn_scale": 2.0, "upscaling_factor": 2}),
    "SCUNet": ("SCUNet", {"config": [1, 1, 1, 1, 1, 1, 1], "dim": 16}),
    "SPAN": ("SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 16}),
    "SeemoRe": ("SeemoRe", {"num_layers": 2}),
    "SwiftSRGAN": ("SwiftSRGAN", {}),
    "Swin2SR": ("Swin2SR", {**_SWIN, "upsampler": "pixelshuffledirect"}),
    "SwinIR": ("SwinIR", {**_SWIN, "upscale": 3, "upsampler": "pixelshuffle"}),
    "Uformer": ("Uformer", {"embed_dim": 16, "depths": [1, 1, 1, 1, 1, 1, 1, 1, 1]}),
}
_EXTRA: dict[str, tuple[str, dict[str, object]]] = {
    "AdaCode": ("AdaCode", {"codebook_params": [[8, 32, 32]], "gt_resolution": 64}),
    "CodeFormer": ("CodeFormer", {"n_layers": 2}),
    "DDColor": (
        "DDColor",
        {"encoder_name": "convnext-t", "nf": 64, "num_queries": 20, "input_size": (32, 32), "dec_layers": 3},
    ),
    "FeMaSR": ("FeMaSR", {"codebook_params": [[32, 64, 32]]}),
    "M3SNet": ("M3SNet", {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}),
    "MAT": ("MAT", {}),
    "MIRNet2": ("MIRNet2", {"n_feat": 16}),
    "MPRNet": ("MPRNet", {"n_feat": 16, "scale_unetfeats": 8, "scale_orsnetfeats": 4, "num_cab": 2}),
    "Restormer": ("Restormer", {"dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1}),
    "SRFormer": ("SRFormer", {**_SWIN, "upscale": 2, "upsampler": "pixelshuffle"}),
}

IDS = tuple(sorted({**_MAIN, **_EXTRA, **resselt_networks.VARIANTS}))


def build(architecture: str) -> torch.nn.Module:
    """A small network of `architecture`. Raises `ImportError` or `TypeError` where spandrel is too old for that."""
    if architecture in resselt_networks.VARIANTS:
        return resselt_networks.VARIANTS[architecture][0].build()
    package, table = ("spandrel", _MAIN) if architecture in _MAIN else ("spandrel_extra_arches", _EXTRA)
    name, arguments = table[architecture]
    module = importlib.import_module(f"{package}.architectures.{architecture}")
    constructor = getattr(module, name, None) or _only_network(module)
    return constructor(**arguments)


def _only_network(module: ModuleType) -> Callable[..., torch.nn.Module]:
    """The class of an older spandrel, which has the names that the authors of the networks gave."""
    classes = [item for item in vars(module).values() if isinstance(item, type) and issubclass(item, torch.nn.Module)]
    if len(classes) != 1:
        raise TypeError(f"{module.__name__} has {len(classes)} networks")
    return classes[0]


@contextmanager
def quick_init() -> Iterator[None]:
    """Constructors fill weights with zeros meanwhile: random numbers for a hundred million of them take seconds."""

    def zero(tensor: torch.Tensor, *args: object, **options: object) -> torch.Tensor:
        return tensor.data.zero_()

    with pytest.MonkeyPatch.context() as patch:
        for name in ("uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_"):
            patch.setattr(torch.nn.init, name, zero)
        yield


def weights(architecture: str) -> dict[str, torch.Tensor]:
    """Its state dict. Large tensors repeat one random number, so that a file of them is small."""
    if architecture in resselt_networks.VARIANTS:
        return dict(resselt_networks.with_weights(resselt_networks.VARIANTS[architecture][0]).state_dict())
    torch.manual_seed(0)
    with quick_init():
        network = build(architecture)
    return {name: _thin(tensor) for name, tensor in network.state_dict().items()}


def _thin(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor with random numbers for zeros, or, if it is large, one whose storage holds a single number."""
    random = tensor.is_floating_point() or tensor.is_complex()
    if tensor.numel() > 4096:
        number = (torch.randn(()) / 50).to(tensor.dtype) if random else tensor.flatten()[0].clone()
        return number.expand(tensor.shape)
    return (torch.randn(tensor.shape) / 50).to(tensor.dtype) if random and not tensor.any() else tensor.clone()


def save(path: Path, tensors: Mapping[str, torch.Tensor], wrapper: str | None = None) -> Path:
    """Write `tensors` as torch does, within `wrapper` if one is named."""
    torch.save({wrapper: dict(tensors)} if wrapper else dict(tensors), path)
    return path
