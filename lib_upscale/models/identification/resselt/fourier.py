"""Networks with Fourier units, attention or a wide view: GFISR, FIGSR, LAWFFT, RHA, FlexNet, EIMN."""

from __future__ import annotations

from math import isqrt
from typing import Any

from torch import nn

from lib_upscale.models.identification.resselt.adapter import (
    MAX_SCALE,
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

__all__ = ["FOURIER"]


def _gfisr(state: State) -> Built:
    upsampler = Upsampler.read(state, "dim_to_out.MetaUpsample")
    width, channels, scale, down = _entrance(state, upsampler)
    network = build(
        "gfisr",
        "GFISR",
        in_nc=channels,
        dim=width,
        expansion_ratio=ratio(state["net.0.fc1.weight"].shape[0] // 2, width),
        fft_mode="net.0.conv.fsas.ln.weight" in state,
        scale=scale,
        out_nc=upsampler.output_channels,
        upsampler=upsampler.method,
        mid_dim=upsampler.middle,
        pixel_unshuffle=down > 1,
        n_blocks=sequence_length(state, "net"),
    )
    # Its Fourier units reflect up to three pixels at each side, behind the unshuffle.
    return Built(network, scale, channels, upsampler.output_channels, down, 4 * down, [f"{width}nf"])


def _gfisrv2(state: State) -> Built:
    upsampler = Upsampler.read(state, "upscale.MetaUpsample")
    width, channels, scale, down = _entrance(state, upsampler)
    network = build(
        "gfisrv2",
        "GFISRV2",
        in_nc=channels,
        dim=width,
        expansion_ratio=ratio(state["gfisr_body.0.fc1.weight"].shape[0] // 2, width),
        scale=scale,
        out_nc=upsampler.output_channels,
        upsampler=upsampler.method,
        mid_dim=upsampler.middle,
        pixel_unshuffle=down > 1,
        n_blocks=sequence_length(state, "gfisr_body") - 3,
    )
    network.scale = scale  # type: ignore[assignment]  # it says 4, whatever it is
    return Built(network, scale, channels, upsampler.output_channels, down, minimum=3, tags=[f"{width}nf"])


def _entrance(state: State, upsampler: Upsampler) -> tuple[int, int, int, int]:
    """Width, input channels, scale and the factor of the unshuffle in front, where there may be one."""
    if "in_to_dim.weight" in state:
        width, channels = state["in_to_dim.weight"].shape[:2]
        return width, channels, upsampler.scale, 1
    down = unshuffle(state, "in_to_dim.1.weight", upsampler.output_channels)
    width, channels = state["in_to_dim.1.weight"].shape[:2]
    return width, channels // down**2, 4 // down, down


def _figsr(state: State) -> Built:
    upsampler = Upsampler.read(state, "upscale.MetaUpsample")
    width, channels = state["in_to_dim.weight"].shape[:2]
    network = build(
        "figsr",
        "FIGSR",
        in_nc=channels,
        dim=width,
        expansion_ratio=ratio(state["gfisr_body_half.0.fc1.weight"].shape[0] // 2, width),
        scale=upsampler.scale,
        out_nc=upsampler.output_channels,
        upsampler=upsampler.method,
        mid_dim=upsampler.middle,
        n_blocks=sequence_length(state, "gfisr_body_half") + sequence_length(state, "gfisr_body_half_2") - 1,
        gc=state["gfisr_body_half.0.conv.convh.weight"].shape[0],
        square_kernel_size=state["gfisr_body_half.0.conv.convhw.weight"].shape[2],
        band_kernel_size=state["gfisr_body_half.0.conv.convh.weight"].shape[2],
    )
    # It reflects up to five pixels at each side.
    return Built(network, upsampler.scale, channels, upsampler.output_channels, minimum=6, tags=[f"{width}nf"])


def _lawfft(state: State) -> Built:
    upsampler = Upsampler.read(state, "upscale.MetaUpsample")
    channels = upsampler.output_channels
    width, _, scale, down = _entrance(state, upsampler)
    block = "body.0.residual.0.token_mix.1"
    local = state[f"{block}.local.0.kernel_gen.1.weight"].shape[0]
    network = build(
        "lawfft",
        "LAWFFT",
        in_ch=channels,
        dim=width,
        split=ratio(local, width),
        scale=scale,
        n_rblock=sequence_length(state, "body"),
        n_mblock=sequence_length(state, "body.0.residual") - 1,
        t_mid_factor=ratio(state[f"{block}.att.project_out.weight"].shape[1], width - local),
        window_size=_side(state, "window_size"),
        mlp_factor=ratio(state["body.0.residual.0.channel_mix1.1.project_out.weight"].shape[1], width),
        unshuffle_mod=down > 1,
        upsampler=upsampler.method,
        mid_dim=upsampler.middle,
    )
    network.scale = scale  # type: ignore[assignment]  # it says 4 where an unshuffle is in front
    return Built(network, scale, channels, channels, multiple_of=padding(network), tags=[f"{width}nf"])


def _side(state: State, name: str) -> int:
    """The side of a window, from a tensor of one number."""
    side = integers(state, name)[0]
    if not 1 <= side <= 256:
        raise LookupError(f"its windows would have a side of {side}")
    return side


def _rha(state: State) -> Built:
    upsampler = Upsampler.read(state, "to_img.MetaUpsample")
    scale, down, entrance = upsampler.scale, 1, "to_feat.weight"
    if "unshuffle" in state:
        entrance = "to_feat.1.weight"
        down = unshuffle(state, entrance, upsampler.output_channels)
        scale = 4 // down
    width, channels = state[entrance].shape[:2]
    groups = sequence_length(state, "body")
    attention = "body.0.body.0.conv.att.2.positional_encoding"
    network = build(
        "rha",
        "RHA",
        dim=width,
        scale=scale,
        in_ch=channels // down**2,
        out_ch=upsampler.output_channels,
        mid_dim=upsampler.middle,
        down_list=[_side(state, f"body.{i}.down_sample") for i in range(groups)],
        expansion_ratio=ratio(state["body.0.body.0.fc1.weight"].shape[0] // 2, width),
        group_blocks=groups,
        res_blocks=sequence_length(state, "body.0.body") - 2,
        upsample=upsampler.method,
        unshuffle_mod=down > 1,
        window_size=isqrt(state[attention].shape[1]),
    )
    network.scale = scale  # type: ignore[assignment]  # it says 4 where an unshuffle is in front
    return Built(
        network,
        scale,
        channels // down**2,
        upsampler.output_channels,
        multiple_of=padding(network),
        tags=[f"{width}nf"],
    )


def _flexnet(state: State) -> Built:
    width, channels = state["in_to_feat.weight"].shape[:2]
    output_channels = channels
    if "scale_factor" in state:
        method, scale = "n+c", integers(state, "scale_factor")[0]
        last = sequence_length(state, "to_img.1") - 1
        output_channels = state[f"to_img.1.{last}.weight"].shape[0]
    elif "to_img.init_pos" in state:
        method, scale = "dys", isqrt(state["to_img.offset.weight"].shape[0] // 8)
        output_channels = state["to_img.end_conv.weight"].shape[0]
    else:
        method, scale = "ps", isqrt(state["to_img.0.weight"].shape[0] // channels)
    if not 1 <= scale <= MAX_SCALE:
        raise LookupError(f"its scale would be {scale}")
    is_meta = "pipeline.enc0.0.t_blocks.0.gamma1" in state
    if is_meta:
        blocks, first = [sequence_length(state, f"pipeline.enc{i}.0.t_blocks") for i in range(4)], "pipeline.enc0.0"
    else:
        groups = sequence_length(state, "pipeline.att")
        blocks, first = [sequence_length(state, f"pipeline.att.{i}.t_blocks") for i in range(groups)], "pipeline.att.0"
    window = _side(state, "window_size")
    network = build(
        "flexnet",
        "FlexNet",
        inp_channels=channels,
        out_channels=output_channels,
        scale=scale,
        dim=width,
        num_blocks=blocks,
        window_size=window,
        hidden_rate=ratio(state[f"{first}.t_blocks.0.ffn.key.weight"].shape[0], width),
        channel_norm=f"{first}.t_blocks.0.ffn.key_norm.weight" in state,
        pipeline_type="meta" if is_meta else "linear",
        upsampler=method,
    )
    # A network of four depths halves its sides three times.
    multiple = window * 8 if is_meta else window
    return Built(network, scale, channels, output_channels, multiple, tags=[f"{width}nf"], settle=_fuse)


def _fuse(network: nn.Module) -> None:
    """Do at once what FlexNet does at its first call, then in whatever precision and layout that call has."""
    for module in network.modules():
        if getattr(module, "repram_flag", False):
            layer: Any = module
            layer.reparam_5x5()
            layer.repram_flag = False


def _eimn(state: State) -> Built:
    width = state["head.0.weight"].shape[0]
    scale = isqrt(state["tail.0.weight"].shape[0] // 3)
    stages = 0
    while f"block{stages + 1}.0.layer_scale_1" in state:
        stages += 1
    network = build(
        "eimn",
        "eimn",
        embed_dims=width,
        scale=scale,
        depths=sequence_length(state, "block1"),
        mlp_ratios=ratio(state["block1.0.mlp.linear_out.weight"].shape[1], width),
        num_stages=stages,
    )
    return Built(network, scale, 3, 3, tags=[f"{width}nf"])


FOURIER = (
    ResseltArchitecture(
        "GFISR", "GFISR", ("net.0.gamma", "net.0.conv.dwconv_hw.weight", "dim_to_out.MetaUpsample"), _gfisr
    ),
    ResseltArchitecture(
        "GFISRV2",
        "GFISRv2",
        ("gfisr_body.0.gamma", "gfisr_body.0.conv.pconv.rn.scale", "upscale.MetaUpsample"),
        _gfisrv2,
    ),
    ResseltArchitecture(
        "FIGSR",
        "FIGSR",
        ("in_to_dim.weight", "gfisr_body_half.0.conv.fu.rn.scale", "cat_to_dim.weight", "upscale.MetaUpsample"),
        _figsr,
    ),
    ResseltArchitecture(
        "LAWFFT",
        "LAWFFT",
        ("body.0.residual.0.token_mix.1.local.0.kernel_gen.1.weight", "window_size", "upscale.MetaUpsample"),
        _lawfft,
    ),
    ResseltArchitecture(
        "RHA",
        "RHA",
        ("body.0.down_sample", "body.0.body.0.conv.att.2.positional_encoding", "to_img.MetaUpsample"),
        _rha,
    ),
    ResseltArchitecture(
        "FlexNet",
        "FlexNet",
        (
            "short_cut.conv11.weight",
            "in_to_feat.weight",
            "window_size",
            ("pipeline.enc0.0.t_blocks.0.gamma1", "pipeline.att.0.t_blocks.0.gamma1"),
        ),
        _flexnet,
    ),
    ResseltArchitecture(
        "EIMN",
        "EIMN",
        (
            "head.0.weight",
            "tail.0.weight",
            "block1.0.attn.region.weight",
            "block1.0.mlp.DFFM.norm.weight",
            "norm1.weight",
        ),
        _eimn,
    ),
)
