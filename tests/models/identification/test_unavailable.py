"""Networks that nothing installed can build are named, with what is missing: by names that their trainers write."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_upscale.errors import MissingArchitectureError
from lib_upscale.models.identification import architectures, network_facts
from lib_upscale.models.identification.architectures import RESSELT
from lib_upscale.models.identification.identifier import identify, problem_of
from lib_upscale.models.identification.resselt import is_installed
from lib_upscale.models.identity import Kind
from lib_upscale.models.runtime.loader import load_network
from tests.models import networks, resselt_networks

pytestmark = pytest.mark.filterwarnings("ignore")  # of constructors

NAMES: dict[str, str] = {
    "ArtCNN": """
        conv0.weight conv0.bias res_block.0.conv.0.0.weight depth_to_space.upscale.0.weight
        depth_to_space.upscale.0.bias
    """,
    "CascadedGaze": """
        intro.weight intro.bias ending.weight encoders.0.0.beta encoders.0.0.gamma
        encoders.0.0.GCE.depthwise_separable_convs.0.depthwise.weight decoders.0.0.beta decoders.0.0.gamma
        middle_blks.0.beta middle_blks.0.gamma middle_blks.0.conv1.weight middle_blks.0.conv2.weight
        middle_blks.0.conv3.weight middle_blks.0.sca.1.weight middle_blks.0.conv4.weight middle_blks.0.conv5.weight
        middle_blks.0.norm1.weight middle_blks.0.norm2.weight ups.0.0.weight downs.0.weight downs.3.weight
        downs.3.bias
    """,
    "DAT-iLN": """
        conv_first.weight conv_first.bias before_RG.norm.weight layers.0.blocks.0.attn.qkv.weight conv_last.weight
        conv_last.bias
    """,
    "DIS": """
        head.weight head.bias head_act.weight body.0.act.weight fusion.weight tail.weight tail.bias
    """,
    "DocRes": """
        patch_embed.proj.weight encoder_level1.0.norm1.body.weight encoder_level1.0.norm1.body.bias
        encoder_level1.0.attn.temperature encoder_level1.0.attn.qkv.weight encoder_level1.0.attn.qkv_dwconv.weight
        encoder_level1.0.attn.project_out.weight encoder_level1.0.norm2.body.weight
        encoder_level1.0.ffn.project_in.weight encoder_level1.0.ffn.dwconv.weight
        encoder_level1.0.ffn.project_out.weight down1_2.body.0.weight encoder_level2.0.attn.temperature
        down2_3.body.0.weight encoder_level3.0.attn.temperature down3_4.body.0.weight latent.0.attn.temperature
        up4_3.body.0.weight reduce_chan_level3.weight decoder_level3.0.attn.temperature up3_2.body.0.weight
        reduce_chan_level2.weight decoder_level2.0.attn.temperature up2_1.body.0.weight reduce_chan_level1.weight
        decoder_level1.0.attn.temperature refinement.0.norm1.body.weight refinement.0.attn.temperature
        refinement.0.attn.qkv.weight refinement.3.ffn.project_out.weight output.weight
    """,
    "DUnet": """
        in_to_dim.weight in_to_dim.bias e_x1.0.bias e_x1.0.parametrizations.weight.original end_conv.4.weight
        end_conv.4.bias
    """,
    "ELAN": """
        head.0.weight head.0.bias body.0.modules_lfe.lfe_0.conv0.shift_conv.weight tail.0.weight tail.0.bias
    """,
    "EMT": """
        sub_mean.weight sub_mean.bias add_mean.weight body.0.sa_list.0.attn.0.weight body.0.sa_list.0.proj.0.weight
        tail.4.weight tail.4.bias
    """,
    "ESCReal": """
        plk_filter proj.weight blocks.0.ln_proj.weight blocks.0.attn.to_qkv.weight blocks.0.convffns.0.proj.weight
        last.weight to_img.MetaUpsample
    """,
    "GRFormer": """
        conv_first.weight conv_first.bias layers.0.blocks.0.norm1.weight layers.0.blocks.0.attn.ESRPB_MLP.0.weight
        upsample.0.weight upsample.0.bias
    """,
    "HMA": """
        relative_position_index_SA conv_first.weight conv_first.bias
        layers.0.residual_group.blocks.0.fused_conv.weight conv_last.weight conv_last.bias
    """,
    "MSDAN": """
        layers.0.EBFB.BSConv3.pw.weight layers.0.EMSSA.conv1_mid.weight BSConv_first.pw.weight BSConv_last.dw.bias
    """,
    "HiT-SIR": """
        conv_first.weight conv_first.bias patch_embed.norm.weight
        layers.0.residual_group.blocks.0.correlation.qv.conv.0.weight upsample.0.weight upsample.0.bias
    """,
    "HiT-SNG": """
        conv_first.weight conv_first.bias patch_embed.norm.weight
        layers.0.residual_group.blocks.0.correlation.qv.conv.0.weight
        layers.0.residual_group.blocks.0.correlation.ngram_window_partition.ngram_context.merge.weight
        upsample.0.weight upsample.0.bias
    """,
    "HiT-SRF": """
        conv_first.weight conv_first.bias patch_embed.norm.weight
        layers.0.residual_group.blocks.0.correlation.qv.conv.0.weight
        layers.0.residual_group.blocks.0.mlp.dwconv.depthwise_conv.0.weight upsample.0.weight upsample.0.bias
    """,
    "LKFMixer": """
        conv_first.weight conv_first.bias layers.layers.0.FDB.c1_d.weight
        layers.layers.0.FDB.c1_r.PLKB.DWConv_Kx1.weight upsampler.upsampleOneStep.0.weight
        upsampler.upsampleOneStep.0.bias
    """,
    "LMLT": """
        to_feat.weight to_feat.bias feats.0.norm1.weight feats.0.lhsb.mfr.0.qkv.weight to_img.0.weight to_img.0.bias
    """,
    "MAN": """
        sub_mean.weight sub_mean.bias head.weight body.0.body.0.LKA.LKA7.0.weight tail.0.weight add_mean.weight
        add_mean.bias
    """,
    "MetaGan2": """
        stages.0.down.conv1.bias stages.0.down.conv1.weight_orig stages.0.down.conv1.weight_u
        stages.0.down.norm2.weight head.0.weight_orig head.2.weight head.2.bias
    """,
    "MetaGan3": """
        stem.conv1.bias stem.conv1.weight_orig stem.conv1.weight_u stem.conv2.weight_orig stem.norm.weight
        stages.2.blocks.4.fusion.weight stages.2.blocks.4.fusion.bias
    """,
    "MultiscalePatchGANDiscriminatorSN": """
        layers.0.0.bias layers.0.0.weight_orig layers.0.0.weight_u layers.0.8.weight_orig layers.2.8.weight_u
        layers.2.8.weight_v
    """,
    "PatchGANDiscriminatorSN": """
        model.0.bias model.0.weight_orig model.0.weight_u model.2.weight_orig model.8.weight_orig model.8.weight_u
        model.8.weight_v
    """,
    "SCUNet_aaf6aa": """
        m_head.0.weight m_down1.0.trans_block.ln1.weight m_down1.0.trans_block.ln1.bias m_res.0.weight m_tail.0.weight
    """,
    "Sebica": """
        head.0.weight head.0.bias head.1.weight head.1.running_mean body.0.pre_mixer.conv.0.weight tail.0.weight
        tail.0.bias
    """,
    "SPANF": """
        conv_near.weight block_1.c1_r.conv1.weight block_1.c1_r.eval_conv.weight conv_cat.weight
        conv_2.eval_conv.weight
    """,
    "SPANF3": """
        conv_1.sk.weight conv_1.sk.bias conv_1.conv.0.weight block_1.c1_r.eval_conv.weight to_pixel.eval_conv.weight
        to_pixel.eval_conv.bias
    """,
    "SRFormerV2": """
        conv_first.weight conv_first.bias patch_embed.norm.weight layers.0.residual_group.blocks.0.norm1.weight
        layers.0.residual_group.blocks.0.attn.qkv.weight
        layers.0.residual_group.blocks.0.attn.relative_position_index layers.0.residual_group.blocks.0.mlp.fc1.bias
        layers.0.residual_group.blocks.1.attn.aligned_relative_position_index
        layers.0.residual_group.blocks.1.attn.q.weight conv_last.weight conv_last.bias
    """,
    "TemporalSPAN": """
        center_conv.sk.weight center_conv.sk.bias center_conv.conv.0.weight history_convs.0.sk.weight conv_cat.weight
        upsampler.0.weight upsampler.0.bias
    """,
    "TemporalSPANv2": """
        m_head.weight m_layers.0.m_head.sk.weight m_layers.0.m_head.sk.bias m_layers.0.blocks.0.c1_r.sk.weight
        m_upsample.0.bias m_tail.weight
    """,
    "TFDAT": """
        flow_net.enc.0.weight flow_net.enc.0.bias flow_net.enc.2.weight flow_net.flow_pred.weight
        shallow_stem.0.weight conv_first.weight groups.0.blocks.0.n1.weight groups.0.blocks.0.attn.bias
        groups.0.blocks.0.inter.cg.1.weight groups.0.blocks.0.ffn.fc1.weight upsampler.MetaUpsample upsampler.3.weight
        upsampler.3.bias
    """,
    "TSCUNet": """
        m_head.0.weight m_tail.0.weight m_layers.0.m_head.0.weight m_layers.0.m_down1.0.trans_block.ln1.weight
        m_upsample.0.up.5.weight m_upsample.0.up.5.bias
    """,
    "UNetDiscriminatorSN": """
        conv0.weight conv0.bias conv1.weight_orig conv8.weight_orig conv9.weight conv9.bias
    """,
    "VGGStyleDiscriminator": """
        conv0_0.weight conv0_0.bias conv0_1.weight bn0_1.weight linear1.weight linear2.weight linear2.bias
    """,
}
"""Some of the tensors in the files of each, as traiNNer-redux's and neosr's networks save them: the first, the last,
those that tell it, and those for which it would be taken for a network that spandrel has."""

SEVERAL_FRAMES = {"TSCUNet", "TemporalSPAN", "TemporalSPANv2", "TFDAT"}
JUDGES = {name for name in NAMES if "Discriminator" in name or name in ("DUnet", "MetaGan2", "MetaGan3")}


@pytest.mark.parametrize("architecture", NAMES)
@pytest.mark.parametrize("wrapper", [None, "params_ema"])
def test_it_is_named_with_what_is_missing(tmp_path: Path, architecture: str, wrapper: str | None) -> None:
    path = networks.save(tmp_path / "4x.pth", {name: torch.zeros(2) for name in NAMES[architecture].split()}, wrapper)
    identity = identify(path)
    assert identity.kind is Kind.UNKNOWN
    assert identity.architecture == architecture
    assert identity.network is None
    problem, advice = str(identity.problem), str(identity.advice)
    assert problem.startswith((f"is a {architecture}, ", f"is an {architecture}, "))
    assert ("several frames" in problem) == (architecture in SEVERAL_FRAMES)
    assert ("net_g" in advice) == (architecture in JUDGES)
    assert isinstance(problem_of(identity), MissingArchitectureError)
    with pytest.raises(MissingArchitectureError) as caught:
        load_network(path)
    assert (caught.value.problem, caught.value.advice) == (f"{path.name} {problem}", advice)


def test_what_has_a_few_of_the_names_is_not_one_of_them(tmp_path: Path) -> None:
    for name in ("m_head.0.weight", "intro.weight", "conv_1.sk.weight"):
        path = networks.save(tmp_path / "x.pth", {name: torch.zeros(2), "tail.0.weight": torch.zeros(2)})
        assert identify(path).architecture is None


@pytest.mark.skipif(not is_installed(), reason="resselt is not installed")
@pytest.mark.parametrize("architecture", RESSELT)
def test_without_resselt_its_networks_are_named(
    tmp_path: Path, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = resselt_networks.VARIANTS[architecture][-1]
    path = networks.save(tmp_path / "new.pth", dict(resselt_networks.with_weights(variant).state_dict()))
    monkeypatch.setattr(architectures, "_copy", None)
    monkeypatch.setattr(architectures, "_resselt", list)
    monkeypatch.setattr(network_facts, "is_installed", bool)
    identity = identify(path)
    assert identity.kind is Kind.UNKNOWN
    assert identity.architecture == architecture
    assert "resselt" in str(identity.problem)
    assert "pip install resselt" in str(identity.advice)
    with pytest.raises(MissingArchitectureError, match="pip install resselt"):
        load_network(path)
