"""What in the host decides what a tile looks like: part of the key of an unfinished redraw."""

from __future__ import annotations

from collections.abc import Sequence

from lib_upscale.webui.host import environment
from lib_upscale.webui.host.extra_networks import image_prompt
from lib_upscale.webui.host.model import loaded_checkpoint
from lib_upscale.webui.host.protocols import HostImg2Img, HostScriptRunner
from lib_upscale.webui.tiled_sampling import controlnet_units, tile_scripts

__all__ = ["host_identity"]

_FIELDS = (
    "sampler_name",
    "scheduler",
    "steps",
    "cfg_scale",
    "image_cfg_scale",
    "denoising_strength",
    "eta",
    "s_churn",
    "s_tmin",
    "s_tmax",
    "s_noise",
    "s_min_uncond",
    "subseed_strength",
    "seed_resize_from_h",
    "seed_resize_from_w",
    "initial_noise_multiplier",
    "inpainting_mask_weight",
    "mask_round",
    "distilled_cfg_scale",
)
_OPTIONS = (
    "CLIP_stop_at_last_layers",
    "eta_noise_seed_delta",
    "randn_source",
    "img2img_fix_steps",
    "img2img_extra_noise",
    "eta_ancestral",
    "eta_ddim",
    "sd_vae_encode_method",
    "sd_vae_decode_method",
    "sgm_noise_multiplier",
    "emphasis",
    "always_discard_next_to_last_sigma",
    "use_old_scheduling",
    "sd_noise_schedule",
    "fp8_storage",
)
_Plain = str | int | float | bool | None

_NETWORKS = ("Lora hashes", "TI hashes", "Hypernet", "Hypernet hash")


def host_identity(
    p: HostImg2Img, runner: HostScriptRunner | None, arguments: Sequence[object] | None, upscaler: str
) -> dict[str, object]:
    """Return what decides, beside image, seed and our settings, what a tile looks like.

    Args:
        p: The host's parameters, about to be sampled: everything about the model and its networks is settled.
        runner: All scripts of the generation.
        arguments: Their arguments for tiles.
        upscaler: The name of the upscaler that enlarges the image.

    Returns:
        Plain JSON values.
    """
    arguments = arguments or []
    scripts = [script for script in (runner.alwayson_scripts if runner else []) if tile_scripts.is_denoising(script)]
    return {
        "checkpoint": p.sd_model_hash or loaded_checkpoint(),  # without a hash: --no-hashing
        "vae": [p.sd_vae_name, p.sd_vae_hash],
        "networks": {
            name: str(p.extra_generation_params[name]) for name in _NETWORKS if name in p.extra_generation_params
        },
        "prompt": image_prompt(p),
        "negative": p.negative_prompts[0],
        "upscaler": upscaler,
        "subseed": p.subseeds[0] if p.subseed_strength else None,
        "scripts": {
            _name(script): _arguments(arguments[script.args_from : script.args_to])
            for script in scripts
            if script.args_from is not None
        },
        "fields": {name: _plain(getattr(p, name, None)) for name in _FIELDS},
        "options": {name: _plain(environment.option(name, None)) for name in _OPTIONS},
    }


def _name(script: object) -> str:
    return str(getattr(script, "name", None) or type(script).__name__)


def _arguments(arguments: Sequence[object]) -> list[object]:
    plain = [value for value in arguments if value is None or isinstance(value, (str, int, float, bool))]
    return [plain, controlnet_units.digest(arguments)]


def _plain(value: object) -> _Plain:
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
