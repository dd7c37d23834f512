"""Sound files that are no upscalers: each is named, with the folder of a WebUI that it belongs in."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_upscale.errors import NotAnUpscalerError
from lib_upscale.models.identification.identifier import identify, problem_of
from lib_upscale.models.identity import Kind
from lib_upscale.models.runtime.loader import load_network
from tests.models.checkpoints import safetensors_bytes


def named(*shapes: tuple[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(()).expand(shape).contiguous() for name, shape in shapes}


UNET = "model.diffusion_model."
SD1 = named(
    (UNET + "input_blocks.0.0.weight", (320, 4, 3, 3)),
    (UNET + "time_embed.0.weight", (8, 8)),
    (UNET + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", (8, 768)),
    ("first_stage_model.decoder.conv_in.weight", (8, 4, 3, 3)),
    ("first_stage_model.decoder.mid.attn_1.k.weight", (8, 8, 1, 1)),
    ("cond_stage_model.transformer.text_model.embeddings.position_ids", (1, 77)),
)
SD2 = {**SD1, UNET + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(8, 1024)}
SDXL = {
    **SD2,
    UNET + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(8, 2048),
    UNET + "label_emb.0.0.weight": torch.zeros(8, 8),
    "conditioner.embedders.0.transformer.text_model.embeddings.position_ids": torch.zeros(1, 77),
}
FLUX = named(
    ("double_blocks.0.img_attn.norm.key_norm.scale", (8,)),
    ("single_blocks.0.linear1.weight", (8, 8)),
    ("img_in.weight", (8, 64)),
)
SD3 = named(
    (UNET + "joint_blocks.0.context_block.attn.qkv.weight", (24, 8)), (UNET + "x_embedder.proj.weight", (8, 16, 2, 2))
)
VAE = named(
    ("encoder.conv_in.weight", (8, 3, 3, 3)),
    ("decoder.conv_in.weight", (8, 4, 3, 3)),
    ("decoder.mid.attn_1.k.weight", (8, 8, 1, 1)),
    ("decoder.up.0.block.0.conv1.weight", (8, 8, 3, 3)),
    ("quant_conv.weight", (8, 8, 1, 1)),
    ("post_quant_conv.weight", (4, 4, 1, 1)),
)
VAE_DIFFUSERS = named(
    ("encoder.conv_in.weight", (8, 3, 3, 3)),
    ("decoder.conv_in.weight", (8, 4, 3, 3)),
    ("decoder.mid_block.attentions.0.to_k.weight", (8, 8)),
    ("quant_conv.weight", (8, 8, 1, 1)),
)
TAESD = named(("1.weight", (64, 4, 3, 3)), ("3.conv.0.weight", (64, 64, 3, 3)), ("3.conv.2.weight", (64, 64, 3, 3)))
LORA_NAME = "lora_unet_down_blocks_0_attentions_0_proj_in"
LORA = named(
    (LORA_NAME + ".lora_down.weight", (4, 320)), (LORA_NAME + ".lora_up.weight", (320, 4)), (LORA_NAME + ".alpha", ())
)
LOHA = named((LORA_NAME + ".hada_w1_a", (8, 4)), (LORA_NAME + ".hada_w1_b", (4, 8)), (LORA_NAME + ".alpha", ()))
LOKR = named((LORA_NAME + ".lokr_w1", (8, 4)), (LORA_NAME + ".lokr_w2", (4, 8)), (LORA_NAME + ".alpha", ()))
LORA_PEFT = named(
    ("transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight", (4, 8)),
    ("transformer.single_transformer_blocks.0.attn.to_k.lora_B.weight", (8, 4)),
)
LORA_DIFFUSERS = named(
    ("unet.down_blocks.0.attentions.0.processor.to_q_lora.down.weight", (4, 8)),
    ("unet.down_blocks.0.attentions.0.processor.to_q_lora.up.weight", (8, 4)),
)
CONTROLNET = named(
    ("control_model.input_blocks.0.0.weight", (8, 4, 3, 3)), ("control_model.zero_convs.0.0.weight", (8, 8, 1, 1))
)
CONTROLNET_DIFFUSERS = named(
    ("controlnet_cond_embedding.conv_in.weight", (16, 3, 3, 3)),
    ("controlnet_down_blocks.0.weight", (8, 8, 1, 1)),
    ("time_embedding.linear_1.weight", (8, 8)),
    ("down_blocks.0.resnets.0.conv1.weight", (8, 8, 3, 3)),
)
T2I = named(
    ("body.0.in_conv.weight", (8, 8, 1, 1)), ("body.0.block1.weight", (8, 8, 3, 3)), ("conv_in.weight", (8, 64, 3, 3))
)
IP_ADAPTER = {
    "image_proj": named(("proj.weight", (8, 8))),
    "ip_adapter": named(("1.to_k_ip.weight", (8, 8)), ("1.to_v_ip.weight", (8, 8))),
}
EMBEDDING = {
    "string_to_token": {"*": 265},
    "string_to_param": {"*": torch.zeros(2, 768)},
    "name": "easynegative",
    "step": 500,
    "sd_checkpoint": None,
}
EMBEDDING_SAFE = {"emb_params": torch.zeros(8, 768)}
EMBEDDING_XL = {"clip_g": torch.zeros(8, 1280), "clip_l": torch.zeros(8, 768)}
EMBEDDING_DIFFUSERS = {"<my-cat>": torch.zeros(768)}
HYPER_PART = {"linear.0.weight": torch.zeros(8, 8), "linear.0.bias": torch.zeros(8)}
HYPERNETWORK = {
    768: (HYPER_PART, HYPER_PART),
    320: (HYPER_PART, HYPER_PART),
    "step": 1000,
    "name": "anime",
    "layer_structure": [1, 2, 1],
    "activation_func": "relu",
    "is_layer_norm": False,
    "sd_checkpoint_name": None,
}
CLIP = named(
    ("text_model.embeddings.token_embedding.weight", (49408, 8)),
    ("text_model.encoder.layers.0.self_attn.k_proj.weight", (8, 8)),
)
T5 = named(("encoder.block.0.layer.0.SelfAttention.q.weight", (8, 8)), ("shared.weight", (32128, 8)))
YOLO_SAFE = named(("model.0.conv.weight", (8, 3, 3, 3)), ("model.22.dfl.conv.weight", (1, 16, 1, 1)))

FOREIGN: dict[str, tuple[Any, Kind, str, str]] = {
    "sd15.safetensors": (SD1, Kind.STABLE_DIFFUSION, "Stable Diffusion 1.x", "models/Stable-diffusion"),
    "sd15.ckpt": ({"state_dict": SD1, "global_step": 3}, Kind.STABLE_DIFFUSION, "1.x", "models/Stable-diffusion"),
    "sd21.safetensors": (SD2, Kind.STABLE_DIFFUSION, "Stable Diffusion 2.x", "models/Stable-diffusion"),
    "sdxl.safetensors": (SDXL, Kind.STABLE_DIFFUSION, "Stable Diffusion XL", "models/Stable-diffusion"),
    "sd3.safetensors": (SD3, Kind.STABLE_DIFFUSION, "Stable Diffusion 3", "models/Stable-diffusion"),
    "flux.safetensors": (FLUX, Kind.STABLE_DIFFUSION, "Flux", "models/Stable-diffusion"),
    "vae.safetensors": (VAE, Kind.VAE, "a VAE", "models/VAE"),
    "vae.pt": ({"state_dict": {f"first_stage_model.{n}": t for n, t in VAE.items()}}, Kind.VAE, "VAE", "models/VAE"),
    "vae.ckpt": ({"state_dict": VAE}, Kind.VAE, "a VAE", "models/VAE"),
    "vae-diffusers.safetensors": (VAE_DIFFUSERS, Kind.VAE, "a VAE", "models/VAE"),
    "taesd_decoder.pth": (TAESD, Kind.VAE, "TAESD", "models/VAE-taesd"),
    "lora.safetensors": (LORA, Kind.LORA, "a LoRA", "models/Lora"),
    "lora.pt": (LORA, Kind.LORA, "a LoRA", "models/Lora"),
    "loha.safetensors": (LOHA, Kind.LORA, "a LoRA", "models/Lora"),
    "lokr.safetensors": (LOKR, Kind.LORA, "a LoRA", "models/Lora"),
    "lora-peft.safetensors": (LORA_PEFT, Kind.LORA, "a LoRA", "models/Lora"),
    "lora-diffusers.bin": (LORA_DIFFUSERS, Kind.LORA, "a LoRA", "models/Lora"),
    "control.pth": (CONTROLNET, Kind.CONTROLNET, "a ControlNet", "models/ControlNet"),
    "control-diffusers.safetensors": (CONTROLNET_DIFFUSERS, Kind.CONTROLNET, "a ControlNet", "models/ControlNet"),
    "t2iadapter.pth": (T2I, Kind.CONTROLNET, "T2I-Adapter", "models/ControlNet"),
    "ip-adapter.pth": (IP_ADAPTER, Kind.CONTROLNET, "IP-Adapter", "models/ControlNet"),
    "embedding.pt": (EMBEDDING, Kind.EMBEDDING, "textual-inversion", "embeddings"),
    "embedding.safetensors": (EMBEDDING_SAFE, Kind.EMBEDDING, "textual-inversion", "embeddings"),
    "embedding-xl.safetensors": (EMBEDDING_XL, Kind.EMBEDDING, "textual-inversion", "embeddings"),
    "learned_embeds.bin": (EMBEDDING_DIFFUSERS, Kind.EMBEDDING, "textual-inversion", "embeddings"),
    "hypernetwork.pt": (HYPERNETWORK, Kind.HYPERNETWORK, "a hypernetwork", "models/hypernetworks"),
    "clip_l.safetensors": (CLIP, Kind.TEXT_ENCODER, "CLIP", "models/text_encoder"),
    "t5xxl.safetensors": (T5, Kind.TEXT_ENCODER, "T5", "models/text_encoder"),
    "face.safetensors": (YOLO_SAFE, Kind.DETECTOR, "YOLO", "models/adetailer"),
}


def write(path: Path, content: Any) -> Path:
    if path.suffix == ".safetensors":
        path.write_bytes(safetensors_bytes(content))
    else:
        torch.save(content, path)
    return path


@pytest.mark.parametrize("name", FOREIGN)
def test_named_with_where_it_belongs(tmp_path: Path, name: str) -> None:
    content, kind, what, folder = FOREIGN[name]
    path = write(tmp_path / name, content)
    identity = identify(path)
    assert identity.kind is kind
    assert what in str(identity.problem)
    assert identity.advice == f"move it to {folder}"
    assert identity.network is None
    error = problem_of(identity)
    assert isinstance(error, NotAnUpscalerError)
    assert str(error) == f"{name} {identity.problem}: {identity.advice}"


def test_message_of_the_commonest_mistake(tmp_path: Path) -> None:
    path = write(tmp_path / "add-detail-xl.safetensors", LORA)
    message = "add-detail-xl.safetensors is a LoRA, not an upscaler: move it to models/Lora"
    assert str(problem_of(identify(path))) == message
    with pytest.raises(NotAnUpscalerError) as caught:
        load_network(path)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("content", "architecture"),
    [(LORA, "LoRA"), (LOHA, "LyCORIS LoHa"), (LOKR, "LyCORIS LoKr"), (SDXL, "Stable Diffusion XL")],
)
def test_finer_word(tmp_path: Path, content: Any, architecture: str) -> None:
    assert identify(write(tmp_path / "x.safetensors", content)).architecture == architecture


def yolo_pickle() -> bytes:
    """What ultralytics saves: the whole program object, within an archive of torch."""
    attributes = b"}(X\x04\x00\x00\x00yamlcpathlib\nPosixPath\n(X\x01\x00\x00\x00atRu"
    model = b"cultralytics.nn.tasks\nDetectionModel\n)\x81" + attributes + b"b"
    program = b"\x80\x02}(X\x05\x00\x00\x00epochJ\xff\xff\xff\xffX\x05\x00\x00\x00model" + model + b"u."
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("archive/data.pkl", program)
    return archive.getvalue()


def gguf() -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + b"\0" * 64


def onnx() -> bytes:
    """ModelProto: ir_version 8, producer "pytorch" "2.0", then a graph of 200 bytes."""
    return b"\x08\x08\x12\x07pytorch\x1a\x032.0\x3a\xc8\x01" + b"\x0a\x04node" * 34


CONTAINERS = {
    "face_yolov8n.pt": (yolo_pickle, Kind.DETECTOR, "YOLO"),
    "flux-Q4.gguf": (gguf, Kind.GGUF, "GGUF"),
    "renamed.safetensors": (gguf, Kind.GGUF, "GGUF"),
    "inswapper.onnx": (onnx, Kind.ONNX, "ONNX"),
    "renamed.pth": (onnx, Kind.ONNX, "ONNX"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_of_other_programs(tmp_path: Path, name: str) -> None:
    make, kind, architecture = CONTAINERS[name]
    path = tmp_path / name
    path.write_bytes(make())
    identity = identify(path)
    assert identity.kind is kind
    assert identity.architecture == architecture
    assert identity.problem
    assert identity.advice
    assert isinstance(problem_of(identity), NotAnUpscalerError)


def test_real_onnx_graph(tmp_path: Path) -> None:
    onnx_package = pytest.importorskip("onnx", reason="the package onnx is not installed")
    helper = onnx_package.helper
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    path = tmp_path / "real.onnx"
    onnx_package.save(helper.make_model(graph, producer_name="someone"), str(path))
    assert identify(path).kind is Kind.ONNX


def test_naming_a_foreign_file_needs_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = write(tmp_path / "lora.safetensors", LORA)
    code = (
        "import sys; from lib_upscale.models.identification.identifier import identify; "
        f"assert identify({str(path)!r}).kind.value == 'lora'; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[3])
