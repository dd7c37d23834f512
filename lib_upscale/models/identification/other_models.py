"""Recognizes models of other purposes by their tensors, and names the folder of a WebUI that they belong in.

Needs no torch. The names come from the files that the programs named here write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lib_upscale.models.formats.checkpoint import Checkpoint, TensorInfo
from lib_upscale.models.identity import Kind

__all__ = ["OtherModel", "identify_other_model"]

Tensors = Mapping[str, TensorInfo]


@dataclass(frozen=True)
class OtherModel:
    """What a file is, in words, and where it belongs."""

    kind: Kind
    name: str
    """With its article: "a LoRA"."""
    folder: str
    architecture: str | None = None
    is_upscaler: bool = False
    """Whether it enlarges images, by a program of its own."""

    @property
    def problem(self) -> str:
        """For the message: "is a LoRA, not an upscaler"."""
        return f"is {self.name}, {'run by LDSR in the WebUI' if self.is_upscaler else 'not an upscaler'}"

    @property
    def advice(self) -> str:
        """For the message: "move it to models/Lora"."""
        return f"move it to {self.folder}"


def identify_other_model(checkpoint: Checkpoint) -> OtherModel | None:
    """Find out which known model of another purpose `checkpoint` is; None if it is none."""
    for rule in _RULES:
        model = rule(checkpoint)
        if model is not None:
            return model
    return None


def _starts(tensors: Tensors, *prefixes: str) -> bool:
    return any(name.startswith(prefixes) for name in tensors)


def _share(tensors: Tensors, test: Callable[[str], bool]) -> float:
    return sum(map(test, tensors)) / max(1, len(tensors))


def _detector(checkpoint: Checkpoint) -> OtherModel | None:
    if any(marker.startswith(("ultralytics.", "models.yolo")) for marker in checkpoint.markers):
        return OtherModel(Kind.DETECTOR, "a YOLO detector", "models/adetailer", "YOLO")
    names = checkpoint.tensors
    if any(name.endswith(".dfl.conv.weight") for name in names) and _starts(names, "model.", "0.conv.", "22."):
        return OtherModel(Kind.DETECTOR, "a YOLO detector", "models/adetailer", "YOLO")
    return None


def _embedding(checkpoint: Checkpoint) -> OtherModel | None:
    names = checkpoint.tensors
    is_sdxl = set(names) == {"clip_g", "clip_l"}
    is_vector = set(names) == {"emb_params"} or "string_to_param" in checkpoint.markers
    single = len(names) == 1 and next(iter(names)).startswith("<") and len(next(iter(names.values())).shape) == 1
    if is_sdxl or is_vector or single:
        return OtherModel(
            Kind.EMBEDDING,
            "a textual-inversion embedding",
            "embeddings",
            "SDXL embedding" if is_sdxl else "Textual inversion",
        )
    return None


def _hypernetwork(checkpoint: Checkpoint) -> OtherModel | None:
    sizes = {"320", "640", "768", "1024", "1280"}
    roots = {name.split(".", 1)[0] for name in checkpoint.tensors}
    if roots and roots <= sizes and any("linear" in name for name in checkpoint.tensors):
        return OtherModel(Kind.HYPERNETWORK, "a hypernetwork", "models/hypernetworks", "Hypernetwork")
    return None


_LORA_PARTS = {
    ".hada_w1_a": "LyCORIS LoHa",
    ".lokr_w1": "LyCORIS LoKr",
    ".lokr_w1_a": "LyCORIS LoKr",
    ".oft_blocks": "LyCORIS OFT",
    ".oft_diag": "LyCORIS OFT",
    ".a1.weight": "LyCORIS GLoRA",
    ".on_input": "LyCORIS IA3",
    ".dora_scale": "DoRA",
    ".lora_down.weight": "LoRA",
    ".lora_up.weight": "LoRA",
    ".lora_A.weight": "LoRA",
    ".lora_B.weight": "LoRA",
    ".lora.down.weight": "LoRA",
    ".lora.up.weight": "LoRA",
    ".lora_linear_layer.down.weight": "LoRA",
    "_lora.down.weight": "LoRA",
    ".lora_A.default.weight": "LoRA",
    ".processor.to_q_lora.down.weight": "LoRA",
    ".diff": "LyCORIS Full",
    ".w_norm": "LyCORIS Norm",
}
_LORA_ROOTS = ("lora_unet_", "lora_te", "lycoris_", "lora_transformer_", "lora_prior_", "oft_unet_", "lora_controlnet_")


def _lora(checkpoint: Checkpoint) -> OtherModel | None:
    names = checkpoint.tensors
    rooted = _share(names, lambda name: name.startswith(_LORA_ROOTS)) > 0.5
    for ending, architecture in _LORA_PARTS.items():
        certain = "lora" in ending or rooted
        if certain and any(name.endswith(ending) for name in names):
            return OtherModel(Kind.LORA, "a LoRA", "models/Lora", architecture)
    if rooted:
        return OtherModel(Kind.LORA, "a LoRA", "models/Lora", "LoRA")
    return None


def _controlnet(checkpoint: Checkpoint) -> OtherModel | None:
    names = checkpoint.tensors
    folder = "models/ControlNet"
    if _starts(names, "control_model.", "controlnet_", "input_hint_block.") or "lllite_unet" in next(iter(names), ""):
        return OtherModel(Kind.CONTROLNET, "a ControlNet", folder, "ControlNet")
    if any(".controlnet_" in name or name.startswith("controlnet") for name in names):
        return OtherModel(Kind.CONTROLNET, "a ControlNet", folder, "ControlNet")
    if _starts(names, "ip_adapter.") and _starts(names, "image_proj."):
        return OtherModel(Kind.CONTROLNET, "an IP-Adapter", folder, "IP-Adapter")
    adapter = "body.0.in_conv.weight" in names or "body.0.block1.weight" in names
    if (adapter and "conv_in.weight" in names) or _starts(names, "adapter.body.", "style_embedding", "fuser."):
        return OtherModel(Kind.CONTROLNET, "a T2I-Adapter", folder, "T2I-Adapter")
    return None


def _stable_diffusion(checkpoint: Checkpoint) -> OtherModel | None:
    names = checkpoint.tensors
    architecture: str | None = None
    if _starts(names, "model.diffusion_model.double_blocks.", "double_blocks.0.img_attn."):
        architecture = "Flux"
    elif _starts(names, "model.diffusion_model.joint_blocks.", "joint_blocks.0.context_block."):
        architecture = "Stable Diffusion 3"
    elif _starts(names, "transformer_blocks.0.attn.add_q_proj.", "single_transformer_blocks.0."):
        architecture = "Flux or Stable Diffusion 3 (diffusers)"
    elif _starts(names, "model.diffusion_model."):
        architecture = _unet_version(names)
    elif "time_embed.0.weight" in names and _starts(names, "input_blocks.0."):
        architecture = _unet_version({f"model.diffusion_model.{name}": info for name, info in names.items()})
    elif "time_embedding.linear_1.weight" in names and _starts(names, "down_blocks.0."):
        architecture = f"{_unet_version(names)} UNet (diffusers)"
    if architecture is None:
        return None
    return OtherModel(Kind.STABLE_DIFFUSION, f"a {architecture} checkpoint", "models/Stable-diffusion", architecture)


def _latent_upscaler(checkpoint: Checkpoint) -> OtherModel | None:
    names = checkpoint.tensors
    first = names.get("model.diffusion_model.input_blocks.0.0.weight")
    # It is shown the small image beside the noise, three channels each, and its first stage has a codebook.
    if first is None or first.shape[1:2] != (6,) or not _starts(names, "first_stage_model.quantize."):
        return None
    folder = "models/LDSR as model.ckpt, beside its project.yaml"
    return OtherModel(Kind.LATENT_UPSCALER, "a latent diffusion upscaler (LDSR)", folder, "LDSR", is_upscaler=True)


def _unet_version(names: Tensors) -> str:
    """Told apart by the text encoder's width, which cross-attention takes as input."""
    if _starts(names, "conditioner.") or "model.diffusion_model.label_emb.0.0.weight" in names:
        return "Stable Diffusion XL"
    for name, info in names.items():
        if name.endswith("attn2.to_k.weight") and len(info.shape) == 2:
            return {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}.get(
                info.shape[1], "Stable Diffusion"
            )
    return "Stable Diffusion"


def _vae(checkpoint: Checkpoint) -> OtherModel | None:
    names = checkpoint.tensors
    ldm = "decoder.conv_in.weight" in names and _starts(
        names, "decoder.mid.attn_1.", "decoder.mid_block.attentions.", "first_stage_model."
    )
    wrapped = _starts(names, "first_stage_model.decoder.") and not _starts(names, "model.diffusion_model.")
    # A codebook is of a VQGAN, which face restorers are built on.
    if (ldm or wrapped) and not _starts(names, "quantize."):
        return OtherModel(Kind.VAE, "a VAE", "models/VAE", "AutoencoderKL")
    tiny = {"1.weight", "3.conv.0.weight"} <= set(names) or {"0.weight", "1.conv.0.weight"} <= set(names)
    diffusers = _starts(names, "decoder.layers.3.conv.0.") and _starts(names, "encoder.layers.")
    if tiny or diffusers or _starts(names, "taesd_decoder."):
        return OtherModel(Kind.VAE, "a small VAE for previews (TAESD)", "models/VAE-taesd", "TAESD")
    if {"conv1.weight", "conv8.weight"} <= set(names) and names["conv1.weight"].shape[1:2] == (4,):
        return OtherModel(Kind.VAE, "a small VAE for previews", "models/VAE-approx", "VAE approximation")
    return None


def _text_encoder(checkpoint: Checkpoint) -> OtherModel | None:
    names = checkpoint.tensors
    architecture: str | None = None
    if _starts(names, "text_model.", "transformer.text_model.", "cond_stage_model.", "text_encoder.text_model."):
        architecture = "CLIP"
    elif "token_embedding.weight" in names and _starts(names, "transformer.resblocks."):
        architecture = "OpenCLIP"
    elif _starts(names, "vision_model.", "visual.transformer.", "visual.trunk.", "visual.conv1."):
        architecture = "CLIP vision"
    elif _starts(names, "encoder.block.0.layer.0.SelfAttention."):
        architecture = "T5"
    elif _starts(names, "model.embed_tokens.", "language_model.", "bert.embeddings.", "model.language_model."):
        architecture = "Language model"
    if architecture is None:
        return None
    return OtherModel(Kind.TEXT_ENCODER, f"a text encoder ({architecture})", "models/text_encoder", architecture)


_RULES: tuple[Callable[[Checkpoint], OtherModel | None], ...] = (
    _detector,
    _embedding,
    _hypernetwork,
    _lora,
    _controlnet,
    _latent_upscaler,
    _stable_diffusion,
    _vae,
    _text_encoder,
)
