"""Recognizes networks that are known by their tensors' names, and that nothing installed here can build or run.

The names are those that trainers write: traiNNer-redux (https://github.com/the-database/traiNNer-redux) and neosr
(https://github.com/muslll/neosr). Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Unavailable", "needing_resselt", "recognize_unavailable"]


@dataclass(frozen=True)
class Unavailable:
    """What a file is, and what is missing to use it."""

    architecture: str
    problem: str
    """For the message: "is a TSCUNet, which needs several frames of a video at once"."""
    advice: str


def recognize_unavailable(shapes: Mapping[str, Any]) -> Unavailable | None:
    """Find out which known network without a package these tensors are of; None if they are of none.

    Args:
        shapes: By their names, without prefixes that all of them share.
    """
    for names, keys, reason in _RULES:
        if all(key in shapes for key in keys):
            architecture = names.partition(" ")[2]
            return Unavailable(architecture, f"is {names}, {reason[0]}", reason[1])
    return None


def needing_resselt(architecture: str, name: str) -> Unavailable:
    """Say that a network's package is not installed.

    Args:
        architecture: Its id.
        name: What a person calls it.
    """
    return Unavailable(
        architecture,
        f"is of the architecture {name}, whose network is in the Python package resselt, and that is not installed",
        "install it with 'pip install resselt', or start the WebUI with a network connection: it installs it",
    )


_FRAMES = (
    "which needs several frames of a video at once",
    "use it in a program for videos, or get a model that enlarges single images",
)
_NO_PACKAGE = (
    "whose network none of the packages has that are used here",
    "get the model in another architecture, or use it in the program that trained it",
)
_JUDGE = (
    "which judges images while an upscaler is trained, and makes none",
    "use the file of the upscaler that was trained with it: its name usually has net_g, where this has net_d",
)

_HIT = "layers.0.residual_group.blocks.0.correlation.qv.conv.0.weight"

_RULES: tuple[tuple[str, tuple[str, ...], tuple[str, str]], ...] = (
    # Video
    ("a TSCUNet", ("m_layers.0.m_head.0.weight", "m_layers.0.m_down1.0.trans_block.ln1.weight"), _FRAMES),
    ("a TemporalSPAN", ("center_conv.sk.weight", "history_convs.0.sk.weight", "conv_cat.weight"), _FRAMES),
    ("a TemporalSPANv2", ("m_layers.0.m_head.sk.weight", "m_layers.0.blocks.0.c1_r.sk.weight"), _FRAMES),
    ("a TFDAT", ("flow_net.enc.0.weight", "flow_net.flow_pred.weight", "shallow_stem.0.weight"), _FRAMES),
    # Images
    ("an ArtCNN", ("conv0.weight", "res_block.0.conv.0.0.weight", "depth_to_space.upscale.0.weight"), _NO_PACKAGE),
    ("a DIS", ("head.weight", "head_act.weight", "body.0.act.weight", "fusion.weight", "tail.weight"), _NO_PACKAGE),
    ("a SPANF3", ("conv_1.sk.weight", "block_1.c1_r.eval_conv.weight", "to_pixel.eval_conv.weight"), _NO_PACKAGE),
    ("a SPANF", ("conv_near.weight", "block_1.c1_r.eval_conv.weight", "conv_2.eval_conv.weight"), _NO_PACKAGE),
    ("a CascadedGaze", ("intro.weight", "encoders.0.0.GCE.depthwise_separable_convs.0.depthwise.weight"), _NO_PACKAGE),
    ("a DAT-iLN", ("before_RG.norm.weight", "layers.0.blocks.0.attn.qkv.weight"), _NO_PACKAGE),
    ("a DocRes", ("patch_embed.proj.weight", "reduce_chan_level1.weight", "refinement.0.attn.qkv.weight"), _NO_PACKAGE),
    ("an ELAN", ("head.0.weight", "body.0.modules_lfe.lfe_0.conv0.shift_conv.weight"), _NO_PACKAGE),
    ("an EMT", ("sub_mean.weight", "body.0.sa_list.0.attn.0.weight", "body.0.sa_list.0.proj.0.weight"), _NO_PACKAGE),
    ("an ESCReal", ("plk_filter", "blocks.0.attn.to_qkv.weight", "blocks.0.convffns.0.proj.weight"), _NO_PACKAGE),
    # resselt's GateRv3 has another attention; the flag says which one a network was trained with.
    ("a GateRv3 with flash attention", ("sisr_cat_conv.weight", "latent.0.token_mix.flash"), _NO_PACKAGE),
    ("a GRFormer", ("conv_first.weight", "layers.0.blocks.0.attn.ESRPB_MLP.0.weight"), _NO_PACKAGE),
    ("an HMA", ("conv_first.weight", "layers.0.residual_group.blocks.0.fused_conv.weight"), _NO_PACKAGE),
    (
        "a HiT-SNG",
        (_HIT, _HIT.replace("qv.conv.0", "ngram_window_partition.ngram_context.merge")),
        _NO_PACKAGE,
    ),
    ("a HiT-SRF", (_HIT, "layers.0.residual_group.blocks.0.mlp.dwconv.depthwise_conv.0.weight"), _NO_PACKAGE),
    ("a HiT-SIR", (_HIT,), _NO_PACKAGE),
    ("an LKFMixer", ("conv_first.weight", "layers.layers.0.FDB.c1_r.PLKB.DWConv_Kx1.weight"), _NO_PACKAGE),
    ("an LMLT", ("to_feat.weight", "feats.0.lhsb.mfr.0.qkv.weight", "to_img.0.weight"), _NO_PACKAGE),
    ("a MAN", ("head.weight", "body.0.body.0.LKA.LKA7.0.weight", "tail.0.weight"), _NO_PACKAGE),
    ("an MSDAN", ("BSConv_first.pw.weight", "layers.0.EMSSA.conv1_mid.weight"), _NO_PACKAGE),
    ("an SCUNet_aaf6aa", ("m_head.0.weight", "m_res.0.weight", "m_down1.0.trans_block.ln1.weight"), _NO_PACKAGE),
    ("a Sebica", ("head.1.running_mean", "body.0.pre_mixer.conv.0.weight", "tail.0.weight"), _NO_PACKAGE),
    (
        "an SRFormerV2",
        (
            "layers.0.residual_group.blocks.0.attn.qkv.weight",
            "layers.0.residual_group.blocks.1.attn.q.weight",
            "layers.0.residual_group.blocks.1.attn.aligned_relative_position_index",
        ),
        _NO_PACKAGE,
    ),
    # Discriminators
    ("a UNetDiscriminatorSN", ("conv0.weight", "conv1.weight_orig", "conv8.weight_orig", "conv9.weight"), _JUDGE),
    ("a VGGStyleDiscriminator", ("conv0_0.weight", "bn0_1.weight", "linear1.weight", "linear2.weight"), _JUDGE),
    ("a PatchGANDiscriminatorSN", ("model.0.weight_orig", "model.2.weight_orig", "model.8.weight_orig"), _JUDGE),
    ("a MultiscalePatchGANDiscriminatorSN", ("layers.0.0.weight_orig", "layers.0.8.weight_orig"), _JUDGE),
    ("a DUnet", ("in_to_dim.weight", "e_x1.0.parametrizations.weight.original", "end_conv.4.weight"), _JUDGE),
    ("a MetaGan2", ("stages.0.down.conv1.weight_orig", "stages.0.down.norm2.weight", "head.0.weight_orig"), _JUDGE),
    ("a MetaGan3", ("stem.conv1.weight_orig", "stem.conv2.weight_orig", "stem.norm.weight"), _JUDGE),
)
"""Name with its article, tensors that it has and no network before it in the list, and why it can't be used.

They are looked at only where no architecture has built a network of the tensors: some begin as one of those does.
"""
