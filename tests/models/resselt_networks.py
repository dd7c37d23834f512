"""Small networks of every architecture that is taken of resselt, made by its own constructors."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Variant:
    """One set of arguments of a constructor, and what must come of it."""

    module: str
    name: str
    scale: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    needs_shims: bool = False
    """The package's own module does not run everywhere: its DySample needs a graphics card."""

    def build(self) -> torch.nn.Module:
        """The network with random weights. Raises `ImportError` where resselt is not installed."""
        network: torch.nn.Module = self._class()(**self.arguments)
        if self.name == "GateRV2":
            network.scale = self.scale  # type: ignore[assignment]  # of its constructor's making it is 1: it cuts off
        return network

    def _class(self) -> Any:
        if not self.needs_shims and hasattr(torch.nn, "RMSNorm"):
            try:
                with warnings.catch_warnings():  # importing it changes the filters
                    return getattr(importlib.import_module(f"resselt.archs.{self.module}.arch"), self.name)
            except (ImportError, AttributeError):
                pass  # Python 3.10
        from lib_upscale.models.identification.resselt.source import network_class

        return network_class(self.module, self.name)

    def call(self, network: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """The network's own result, in the size that it is meant to have, as an image: 0..1."""
        height, width = (side * self.scale for side in batch.shape[2:])
        with torch.inference_mode():
            # SPAN++ makes any of its scales; the others have one.
            result = network(batch, self.scale) if self.name == "SpanPP" else network(batch)
        image: torch.Tensor = result[..., :height, :width].clamp(0, 1)
        return image


_GATER3 = {"dim": 8, "enc_blocks": (1, 1), "dec_blocks": (1, 1), "num_latent": 1, "span_blocks": 1}

VARIANTS: dict[str, tuple[Variant, ...]] = {
    "EIMN": (
        Variant("eimn", "eimn", 2, {"embed_dims": 16, "num_stages": 2, "scale": 2}),
        Variant("eimn", "eimn", 4, {"embed_dims": 24, "num_stages": 1, "depths": 2, "mlp_ratios": 2, "scale": 4}),
    ),
    "FIGSR": (
        Variant(
            "figsr",
            "FIGSR",
            2,
            {"dim": 32, "n_blocks": 3, "gc": 4, "square_kernel_size": 5, "band_kernel_size": 7, "scale": 2},
        ),
        Variant(
            "figsr",
            "FIGSR",
            3,
            {"dim": 32, "n_blocks": 2, "scale": 3, "upsampler": "transpose+conv", "expansion_ratio": 2},
        ),
    ),
    "FlexNet": (
        Variant("flexnet", "FlexNet", 2, {"dim": 16, "num_blocks": (1, 2), "scale": 2}),
        Variant(
            "flexnet",
            "FlexNet",
            4,
            {
                "dim": 8,
                "num_blocks": (1, 1, 1, 1),
                "scale": 4,
                "pipeline_type": "meta",
                "upsampler": "n+c",
                "channel_norm": True,
                "hidden_rate": 2,
            },
        ),
        Variant("flexnet", "FlexNet", 3, {"dim": 16, "num_blocks": (1,), "scale": 3, "upsampler": "dys"}, True),
    ),
    "GFISR": (
        Variant(
            "gfisr", "GFISR", 2, {"dim": 16, "n_blocks": 5, "scale": 2, "mid_dim": 20, "upsampler": "pixelshuffle"}
        ),
        Variant(
            "gfisr",
            "GFISR",
            4,
            {"dim": 16, "n_blocks": 2, "scale": 4, "fft_mode": False, "upsampler": "lda", "mid_dim": 8},
        ),
        Variant("gfisr", "GFISR", 1, {"dim": 16, "n_blocks": 1, "scale": 1}),
    ),
    "GFISRV2": (
        Variant("gfisrv2", "GFISRV2", 2, {"dim": 16, "n_blocks": 4, "scale": 2, "pixel_unshuffle": True}),
        Variant("gfisrv2", "GFISRV2", 3, {"dim": 16, "n_blocks": 1, "scale": 3, "upsampler": "pa_up", "mid_dim": 8}),
    ),
    "GateR": (
        Variant("gater", "GateR", 1, {"dim": 8, "num_blocks": (1, 1, 1, 1, 1, 1, 1)}),
        Variant("gater", "GateR", 1, {"dim": 8, "num_blocks": (2, 1, 1, 1, 1, 1, 1), "latent_att": True}),
    ),
    "GateRV2": (
        Variant("gaterv2", "GateRV2", 1, {"dim": 8, "enc_blocks": (1, 1), "dec_blocks": (1, 1), "num_latent": 1}),
        Variant(
            "gaterv2",
            "GateRV2",
            2,
            {
                "dim": 8,
                "enc_blocks": (1, 2),
                "dec_blocks": (1, 1),
                "num_latent": 1,
                "scale": 2,
                "upsample": "nearest+conv",
            },
        ),
    ),
    "GateRV3": (
        Variant("gaterv3", "GateRV3", 1, _GATER3),
        Variant(
            "gaterv3",
            "GateRV3",
            4,
            {**_GATER3, "scale": 4, "attention": True, "upsample": "pa_up", "upsample_mid_dim": 16},
        ),
        Variant(
            "gaterv3",
            "GateRV3",
            2,
            {**_GATER3, "scale": 2, "upsample": "dysample", "upsample_mid_dim": 16, "end_kernel": 3},
            True,
        ),
    ),
    "LAWFFT": (
        Variant("lawfft", "LAWFFT", 2, {"dim": 20, "n_rblock": 1, "n_mblock": 2, "scale": 2, "unshuffle_mod": True}),
        Variant(
            "lawfft",
            "LAWFFT",
            3,
            {
                "dim": 22,
                "n_rblock": 2,
                "n_mblock": 1,
                "scale": 3,
                "split": 0.3,
                "t_mid_factor": 0.5,
                "upsampler": "dysample",
                "mid_dim": 24,
            },
            True,
        ),
    ),
    "MoSRv2": (
        Variant("mosrv2", "MoSRv2", 2, {"scale": 2, "dim": 16, "n_block": 2}),
        Variant(
            "mosrv2",
            "MoSRv2",
            4,
            {"scale": 4, "dim": 16, "n_block": 1, "rms_norm": True, "upsampler": "dysample", "mid_dim": 16},
            True,
        ),
        Variant("mosrv2", "MoSRv2", 1, {"scale": 1, "dim": 17, "n_block": 1, "upsampler": "pixelshuffle"}),
    ),
    "RHA": (
        Variant(
            "rha",
            "RHA",
            2,
            {"dim": 32, "group_blocks": 2, "res_blocks": 2, "down_list": (2, 1), "scale": 2, "unshuffle_mod": True},
        ),
        Variant(
            "rha",
            "RHA",
            3,
            {
                "dim": 32,
                "group_blocks": 1,
                "res_blocks": 1,
                "down_list": (1,),
                "scale": 3,
                "window_size": 4,
                "upsample": "nearest+conv",
            },
        ),
    ),
    "RTMoSR": (
        Variant(
            "rtmosr", "RTMoSR", 2, {"scale": 2, "dim": 12, "ffn_expansion": 1.5, "unshuffle_mod": True, "dccm": False}
        ),
        Variant("rtmosr", "RTMoSR", 4, {"scale": 4, "dim": 12, "n_blocks": 1, "se": False}),
        Variant("rtmosr", "RTMoSR", 1, {"scale": 1, "dim": 12, "n_blocks": 1, "se": False, "unshuffle_mod": True}),
    ),
    "SMoSR": (
        Variant("smosr", "SMoSR", 2, {"dim": 12, "n_mb": 1}),
        Variant(
            "smosr",
            "SMoSR",
            4,
            {"dim": 12, "n_mb": 2, "rep": True, "scale": 4, "upsampler": "pa_up", "upsampler_mid_dim": 8},
        ),
        Variant(
            "smosr",
            "SMoSR",
            3,
            {"dim": 12, "n_mb": 1, "scale": 3, "upsampler": "dysample", "upsampler_mid_dim": 16},
            True,
        ),
    ),
    "SPANPP": (
        Variant("spanpp", "SpanPP", 4, {"feature_channels": 12, "implicit_dim": 16, "latent_layers": 2}),
        Variant(
            "spanpp",
            "SpanPP",
            2,
            {
                "feature_channels": 12,
                "implicit_dim": 16,
                "latent_layers": 1,
                "scale_list": (2,),
                "ig_kernel_size": 1,
            },
        ),
    ),
    "SPANPlus": (
        Variant(
            "spanplus",
            "SpanPlus",
            2,
            {"feature_channels": 16, "blocks": [1, 2], "upscale": 2, "upsampler": "dys"},
            True,
        ),
        Variant("spanplus", "SpanPlus", 3, {"feature_channels": 12, "blocks": [1], "upscale": 3, "upsampler": "ps"}),
        Variant("spanplus", "SpanPlus", 1, {"feature_channels": 12, "blocks": [1], "upscale": 1, "upsampler": "conv"}),
    ),
}


def with_weights(variant: Variant) -> torch.nn.Module:
    """The network with random numbers everywhere, so that nothing of it is left out unnoticed."""
    torch.manual_seed(0)
    network = variant.build()
    for tensor in network.parameters():
        if tensor.requires_grad:
            tensor.data.add_(torch.randn_like(tensor) / 100)
    return network
