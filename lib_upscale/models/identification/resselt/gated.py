"""Networks of gated convolutions, and those of SPAN's line: SPANPlus, SPAN++, RTMoSR, MoSRv2, SMoSR, GateR."""

from __future__ import annotations

from math import isqrt
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from lib_upscale.models.identification.resselt.adapter import (
    Built,
    ResseltArchitecture,
    State,
    Upsampler,
    build,
    integers,
    padding,
    ratio,
    sequence_length,
    unshuffle,
)

__all__ = ["GATED"]


def _spanplus(state: State) -> Built:
    width, channels = state["feats.0.eval_conv.weight"].shape[:2]
    blocks = [sequence_length(state, f"feats.{i}.block_n") for i in range(1, sequence_length(state, "feats"))]
    output_channels = channels
    if "upsampler.0.weight" in state:
        method, scale = "ps", isqrt(state["upsampler.0.weight"].shape[0] // channels)
    elif "upsampler.weight" in state:
        method, scale = "conv", 1
    else:
        method, scale = "dys", isqrt(state["upsampler.offset.weight"].shape[0] // 8)
        output_channels = state["upsampler.end_conv.weight"].shape[0]
    network = build(
        "spanplus",
        "SpanPlus",
        num_in_ch=channels,
        num_out_ch=output_channels,
        blocks=blocks,
        feature_channels=width,
        upscale=scale,
        upsampler=method,
    )
    return Built(network, scale, channels, output_channels, tags=[f"{width}nf"])


def _spanpp(state: State) -> Built:
    width, channels = state["conv0.conv_3x3_rep.weight"].shape[:2]
    kernels, implicit = state["upsampler.freq"].shape[:2]
    scales = sorted(set(integers(state, "MetaIGConv"))) if "MetaIGConv" in state else [1, 2, 3, 4]
    scale = scales[-1]
    if not 1 <= scales[0] <= scale <= 16:
        raise LookupError(f"its scales would be {scales[:8]}")
    network = build(
        "spanpp",
        "SpanPP",
        num_in_ch=channels,
        feature_channels=width,
        scale_list=scales,
        ig_kernel_size=isqrt(kernels // width),
        implicit_dim=implicit,
        latent_layers=sequence_length(state, "upsampler.query_kernel") // 2,
    )

    def settle(network: nn.Module) -> None:
        # It makes the weights for each of its scales of one function; the largest is the one that is offered.
        many: Any = network.upsampler
        network.upsampler = _OneScale(many.resize(scale), scale)

    return Built(network, scale, channels, 3, tags=[f"{width}nf", *(f"{each}x" for each in scales)], settle=settle)


class _OneScale(nn.Module):
    """The end of a SPAN++ network for one of its scales, as a layer that moves and converts like any other."""

    def __init__(self, weight: Tensor, scale: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
        self.factor = scale

    def forward(self, x: Tensor, _scale: object) -> Tensor:
        padding = self.weight.shape[2] // 2
        return functional.pixel_shuffle(functional.conv2d(x, self.weight, padding=padding), self.factor)


def _rtmosr(state: State) -> Built:
    unshuffled = "to_feat.1.conv_3x3_rep.weight" in state
    if unshuffled:
        scale = 4 // unshuffle(state, "to_feat.1.conv_3x3_rep.weight", 3)
        width = state["to_feat.1.conv_3x3_rep.weight"].shape[0]
    else:
        scale = isqrt(state["to_img.0.conv_3x3_rep.weight"].shape[0] // 3)
        width = state["to_feat.conv_3x3_rep.weight"].shape[0]
    network = build(
        "rtmosr",
        "RTMoSR",
        scale=scale,
        dim=width,
        ffn_expansion=ratio(state["body.0.fc1.conv_3x3_rep.weight"].shape[0] // 2, width),
        n_blocks=sequence_length(state, "body"),
        unshuffle_mod=unshuffled,
        dccm="body.0.fc2.alpha" in state,
        se="body.0.conv.2.squeezing.0.weight" in state,
    )
    return Built(network, scale, 3, 3, multiple_of=padding(network), tags=[f"{width}nf"])


def _mosrv2(state: State) -> Built:
    upsampler = Upsampler.read(state, "to_img.MetaUpsample")
    channels, scale = upsampler.output_channels, upsampler.scale
    unshuffled = "gblocks.0.weight" not in state
    first = 1 if unshuffled else 0
    if unshuffled:
        scale = 4 // unshuffle(state, "gblocks.1.weight", channels)
    width = state[f"gblocks.{first}.weight"].shape[0]
    network = build(
        "mosrv2",
        "MoSRv2",
        in_ch=channels,
        scale=scale,
        n_block=sequence_length(state, "gblocks") - 6 - first,
        dim=width,
        upsampler=upsampler.method,
        expansion_ratio=ratio(state[f"gblocks.{first + 1}.fc1.weight"].shape[0] // 2, width),
        mid_dim=upsampler.middle,
        unshuffle_mod=unshuffled,
        rms_norm=f"gblocks.{first + 1}.norm.scale" in state,
    )
    return Built(network, scale, channels, channels, multiple_of=padding(network), tags=[f"{width}nf"])


_SMOSR_METHODS = ("conv", "pixelshuffledirect", "pixelshuffle", "nearest+conv", "dysample", "pa_up")


def _end_kernel(state: State, upsampler: str) -> int:
    """The side of the kernel behind a DySample, which stands first or third; 1 where there is none."""
    ends = [state[name] for i in (0, 2) if (name := f"{upsampler}.{i}.end_conv.weight") in state]
    return ends[0].shape[2] if ends else 1


def _smosr(state: State) -> Built:
    width, channels = state["blocks_1.0.body.0.eval_conv.weight"].shape[:2]
    _, method, _, _, output_channels, middle, *_ = integers(state, "upsampler.MetaUpsample")
    scale = isqrt(state["short.weight"].shape[0] // channels)
    network = build(
        "smosr",
        "SMoSR",
        in_ch=channels,
        out_ch=output_channels,
        dim=width,
        scale=scale,
        rep="blocks_1.0.body.0.sk.W" in state,
        n_mb=sequence_length(state, "blocks_2"),
        upsampler=_SMOSR_METHODS[method],
        upsampler_mid_dim=middle,
        d_kernel=_end_kernel(state, "upsampler"),
    )
    # It reflects two pixels at each side, which takes three.
    return Built(network, scale, channels, output_channels, minimum=3, tags=[f"{width}nf"])


def _gater(state: State) -> Built:
    width, channels = state["in_to_dim.weight"].shape[:2]
    parts = ("enc0", "enc1.1", "enc2.1", "latent.1", "dec0.1", "dec1.1", "dec2.0")
    network = build(
        "gater",
        "GateR",
        dim=width,
        in_ch=channels,
        num_blocks=[sequence_length(state, f"{part}.gated") for part in parts],
        latent_att="latent.1.gated.0.conv.conv.weight" not in state,
    )
    return Built(network, 1, channels, channels, multiple_of=8, tags=[f"{width}nf"])


def _stages(state: State, name: str) -> list[int]:
    return [sequence_length(state, f"{name}.{i}.gated") for i in range(sequence_length(state, name))]


def _end(state: State, name: str, channels: int) -> Upsampler:
    """The upsampler of that name; one that keeps the size where there is none."""
    return Upsampler.read(state, name) if name in state else Upsampler("conv", 1, channels, 32)


def _gaterv2(state: State) -> Built:
    width, channels = state["in_to_dim.weight"].shape[:2]
    upsampler = _end(state, "upsample.MetaUpsample", channels)
    network = build(
        "gaterv2",
        "GateRV2",
        in_ch=channels,
        dim=width,
        enc_blocks=_stages(state, "encode"),
        dec_blocks=_stages(state, "decode"),
        num_latent=sequence_length(state, "latent"),
        scale=upsampler.scale,
        upsample=upsampler.method,
        upsample_mid_dim=upsampler.middle,
    )
    network.scale = upsampler.scale  # type: ignore[assignment]  # it cuts its result to the size of the input
    return Built(network, upsampler.scale, channels, channels, multiple_of=padding(network), tags=[f"{width}nf"])


def _gaterv3(state: State) -> Built:
    width, channels = state["in_to_dim.weight"].shape[:2]
    upsampler = _end(state, "dim_to_in.MetaUpsample", channels)
    # traiNNer-redux can compute its attention in another way, and says so.
    flags = tuple(name for name in state if name.endswith(".token_mix.flash"))
    if any(any(integers(state, name)) for name in flags):
        raise LookupError("it was trained with flash attention, which resselt does not have")
    network = build(
        "gaterv3",
        "GateRV3",
        in_ch=channels,
        dim=width,
        enc_blocks=_stages(state, "gater_encode"),
        dec_blocks=_stages(state, "decode"),
        num_latent=sequence_length(state, "latent"),
        scale=upsampler.scale,
        upsample=upsampler.method,
        upsample_mid_dim=upsampler.middle,
        attention="latent.0.token_mix.qkv_dwconv.weight" in state,
        span_blocks=sequence_length(state, "span_n_b"),
        end_kernel=_end_kernel(state, "dim_to_in"),
    )
    return Built(
        network,
        upsampler.scale,
        channels,
        channels,
        multiple_of=padding(network),
        tags=[f"{width}nf"],
        optional=("gamma",),
        ignored=flags,
    )


GATED = (
    ResseltArchitecture("SPANPlus", "SPANPlus", ("feats.0.eval_conv.weight", "feats.1.conv_cat.weight"), _spanplus),
    ResseltArchitecture(
        "SPANPP",
        "SPAN++",
        ("conv0.conv_3x3_rep.weight", "block_1.c1_r.conv_3x3_rep.weight", "upsampler.freq", "upsampler.amplitude"),
        _spanpp,
    ),
    ResseltArchitecture(
        "RTMoSR",
        "RTMoSR",
        ("body.0.fc1.conv_3x3_rep.weight", "body.0.conv.1.conv5x5_reparam.weight", "to_img.0.conv_3x3_rep.weight"),
        _rtmosr,
    ),
    ResseltArchitecture(
        "MoSRv2",
        "MoSRv2",
        (
            ("gblocks.1.gamma", "gblocks.2.gamma"),
            ("gblocks.1.conv.dwconv_hw.weight", "gblocks.2.conv.dwconv_hw.weight"),
            "to_img.MetaUpsample",
        ),
        _mosrv2,
    ),
    ResseltArchitecture(
        "SMoSR",
        "SMoSR",
        (
            "short.weight",
            "blocks_1.0.body.0.eval_conv.weight",
            "end_block.0.body.0.eval_conv.weight",
            "upsampler.MetaUpsample",
        ),
        _smosr,
    ),
    ResseltArchitecture(
        "GateR",
        "GateR",
        ("enc0.gated.0.fc1.weight", "latent.1.gated.0.fc1.weight", "dec2.0.gated.0.fc1.weight", "dim_to_ch.1.weight"),
        _gater,
    ),
    ResseltArchitecture(
        "GateRV2",
        "GateRv2",
        ("in_to_dim.weight", "encode.0.gated.0.glob.fc1.weight", "decode.0.shor.weight", "latent.0.fc1.weight"),
        _gaterv2,
    ),
    ResseltArchitecture(
        "GateRV3",
        "GateRv3",
        ("in_to_dim.weight", "gater_encode.0.gated.0.glob.fc1.weight", "sisr_cat_conv.weight", "decode.0.shor.weight"),
        _gaterv3,
    ),
)
