"""What is relied on of the WebUI's generations: their parameters, scripts and results."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from lib_upscale.webui.host.protocols.model import HostCheckpointInfo, HostModel, HostSampler

__all__ = [
    "HostBatch",
    "HostImg2Img",
    "HostProcessed",
    "HostProcessing",
    "HostScript",
    "HostScriptRunner",
    "HostTxt2Img",
]


class HostScript(Protocol):
    """An always-on script of a generation."""

    filename: str
    """The file it comes from, by which extensions are told apart."""
    args_from: int | None
    """Where its arguments begin in `p.script_args`; None where it has none."""
    args_to: int | None
    """Where they end."""
    infotext_fields: Sequence[object]
    """Set by a script's `ui`: each component with how to find its value in an image's parameters."""
    paste_field_names: Sequence[str]
    """Set by a script's `ui`: infotext keys that are sent to other tabs."""


class HostScriptRunner(Protocol):
    """`p.scripts`: may be copied and given other lists."""

    alwayson_scripts: list[HostScript]
    """Those that run for each generation."""
    selectable_scripts: list[HostScript]
    """Those of the Script dropdown."""
    callback_map: MutableMapping[str, object]
    """Which scripts run at which hook, worked out once from the lists."""
    postprocess_batch_list: Callable[..., object]
    """Called with `(p, pp)`, where `pp.images` are the decoded images of a batch, before they are rounded."""
    process: Callable[..., object]
    """Called with `p` once for all of its batches, before the first."""


class HostBatch(Protocol):
    """The images of a batch, `pp` of `postprocess_batch_list`."""

    images: Sequence[Tensor]
    """(3, height, width) each, 0 to 1."""


class HostProcessing(Protocol):
    """A generation's parameters, `p`: they may be copied, and methods be set on the copy."""

    sd_model: HostModel
    """The loaded model."""
    sampler: HostSampler | None
    """Made by the host when sampling begins."""
    sampler_name: str | None
    """Its name in the list of samplers."""
    steps: int
    """Sampling steps."""
    seed: int | str | list[int]
    """One for all, one for each image, or -1 or "" for any; so is `subseed`."""
    subseed: int | str | list[int]
    subseed_strength: float
    """0 to 1."""
    seed_resize_from_h: int
    seed_resize_from_w: int
    """"Resize seed from", in pixels; 0 where it is off."""
    prompt: str | list[str]
    """One for all or one for each image; so is `negative_prompt`."""
    negative_prompt: str | list[str]
    styles: list[str]
    """Added to the prompts when the generation is set up."""
    width: int
    height: int
    """In pixels."""
    batch_size: int
    """Images at a time."""
    n_iter: int
    """Batch count."""
    iteration: int
    """Number of the batch that is being made, from 0."""
    is_api: bool
    """Whether the API asked for it."""
    tiling: bool
    """Seamless textures."""
    restore_faces: bool
    """Done to every finished image."""
    denoising_strength: float
    """0 to 1."""
    override_settings: dict[str, Any]
    """Settings for this generation alone."""
    extra_generation_params: dict[str, object]
    """What goes into the infotext."""
    comments: dict[str, object]
    """What is said below the images."""
    do_not_save_samples: bool
    do_not_save_grid: bool
    """Whatever the settings say."""
    do_not_reload_embeddings: bool
    """Spares looking for new files."""
    outpath_samples: str
    """The folder for images."""
    token_merging_ratio: float
    """0 for the settings' own."""
    scripts_value: HostScriptRunner | None
    """The scripts; `scripts` is the same with a check."""
    script_args_value: Sequence[object] | None
    """All scripts' arguments; each script has its part."""
    scripts_setup_complete: bool
    """Keeps the host from setting the scripts up again."""
    refiner_checkpoint: str | None
    refiner_checkpoint_info: HostCheckpointInfo | None
    """None where there is no refiner."""

    # known once the host has set the generation up
    all_prompts: list[str]
    all_negative_prompts: list[str]
    all_seeds: list[int]
    all_subseeds: list[int]
    """Of all batches."""
    prompts: list[str]
    negative_prompts: list[str]
    seeds: list[int]
    subseeds: list[int]
    """Of this batch."""
    sd_model_hash: str
    sd_vae_name: str | None
    sd_vae_hash: str | None
    """The files that are used."""
    rng: object
    """The random numbers of the batch, `ImageRNG`; taken hold of when sampling begins."""
    c: object
    uc: object
    """The encoded prompts of the batch."""
    cached_c: list[object]
    cached_uc: list[object]
    """Those of the last batch with their keys."""

    init: Callable[..., None]
    """Called with all prompts and seeds before the first batch; what it raises is shown to the person."""
    sample: Callable[..., Sequence[Tensor]]
    """Makes the decoded images of a batch."""
    setup_conds: Callable[[], object]
    """Encodes the prompts of a batch."""
    cached_params: Callable[..., object]
    """The key under which encoded prompts are kept."""

    def comment(self, text: str) -> None:
        """Say something below the images."""

    def get_token_merging_ratio(self, for_hr: bool = False) -> float:
        """The ratio for the first or the second pass."""

    def fill_fields_from_opts(self) -> None:
        """Take what is missing from the settings page."""

    def save_samples(self) -> bool:
        """Whether images are saved."""

    def close(self) -> None:
        """Let go of what was kept for the run."""


class HostImg2Img(HostProcessing, Protocol):
    """`StableDiffusionProcessingImg2Img`."""

    init_images: list[Image.Image]
    """One, or one for each image of a batch."""
    resize_mode: int
    """0 is "just resize"."""
    image_cfg_scale: float | None
    """For instruct-pix2pix."""
    init_img_hash: str | None
    """The name under which the settings have `init_images` saved."""
    image_mask: Image.Image | None
    """White where the image is redrawn."""
    mask_blur_x: int
    mask_blur_y: int
    """In pixels."""
    inpainting_mask_invert: int
    """1 to redraw what is not masked."""
    inpainting_fill: int
    """1 is "original"."""
    inpaint_full_res: bool
    """"Only masked"."""
    mask: object
    nmask: object
    latent_mask: object
    """Of latents, from `init`."""
    mask_for_overlay: Image.Image | None
    overlay_images: list[Image.Image] | None
    """Put on the finished images."""
    paste_to: tuple[int, int, int, int] | None
    """Where the result of "only masked" belongs."""
    color_corrections: list[object] | None
    """None: from `init`, where the settings ask for it."""


class HostTxt2Img(HostProcessing, Protocol):
    """`StableDiffusionProcessingTxt2Img` with hires fix."""

    enable_hr: bool
    """Whether hires fix is on."""
    hr_scale: float
    """"Upscale by"."""
    hr_resize_x: int
    hr_resize_y: int
    """"Resize to", in pixels; 0 for automatic."""
    hr_upscale_to_x: int
    hr_upscale_to_y: int
    """The size to which the image is enlarged; from `init`."""
    truncate_x: int
    truncate_y: int
    """Latent pixels that are cut off afterwards; from `init`."""
    latent_scale_mode: dict[str, Any] | None
    """`mode` and `antialias` of an upscaler of latents; None for one of images; from `init`."""
    hr_upscaler: str | None
    """Its name."""
    hr_checkpoint_info: HostCheckpointInfo | None
    """None for the same checkpoint."""
    hr_additional_modules: list[str] | None
    """Forge and Forge Neo: VAE and text encoders of the second pass; no other host has it."""
    hr_second_pass_steps: int
    """0 for as many as the first pass has."""
    hr_sampler_name: str | None
    """None for the same sampler."""
    all_hr_prompts: list[str]
    all_hr_negative_prompts: list[str]
    """Of all batches."""
    hr_prompts: list[str]
    hr_negative_prompts: list[str]
    """Of this batch, without networks."""
    hr_extra_network_data: dict[str, Any]
    """The networks of this batch."""
    is_hr_pass: bool
    """Whether the second pass is running."""

    sample_hr_pass: Callable[..., Sequence[Tensor]]
    """The second pass: called with latents, decoded images, seeds and prompts, returns decoded images."""
    calculate_hr_conds: Callable[[], object]
    """Encodes the second pass's prompts, once its sampler is there."""


class HostProcessed(Protocol):
    """What `process_images` gives."""

    images: list[Image.Image]
    infotexts: list[str]
