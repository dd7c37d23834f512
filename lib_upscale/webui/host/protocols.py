"""What is relied on of the WebUI's objects: a new WebUI is supported where it has this.

Attributes that only some WebUIs have are not in here: they are asked for with `getattr` where they are used, or stand
in `environment`. Methods that are replaced for one run are attributes, so that they can be set.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Protocol

from PIL import Image
from torch import Tensor, nn

__all__ = [
    "HostCheckpointInfo",
    "HostDenoiser",
    "HostForgeObjects",
    "HostImg2Img",
    "HostMemoryManagement",
    "HostModel",
    "HostOptions",
    "HostPostprocessed",
    "HostPostprocessor",
    "HostProcessed",
    "HostProcessing",
    "HostSampler",
    "HostScript",
    "HostScriptRunner",
    "HostState",
    "HostTxt2Img",
    "HostUnetPatcher",
    "HostUpscaler",
    "HostUpscalerEntry",
    "HostVae",
]


class HostState(Protocol):
    """`shared.state`: the running job, its progress bar and its stop."""

    job: str
    """The running job's name; "" while there is none."""
    job_count: int
    """Jobs that the bar counts."""
    job_no: int
    """Jobs of these that are done."""
    sampling_step: int
    """Steps done of the current job."""
    sampling_steps: int
    """Steps of the current job."""
    textinfo: str | None
    """The text beside the bar."""
    time_start: float | None
    """When the job began: tells one job from the next."""
    interrupted: bool
    """Interrupt was pressed; reset when a job begins."""
    skipped: bool
    """Skip was pressed; reset when a generation begins."""
    stopping_generation: bool
    """"Interrupt after this image" was pressed; not in old WebUIs."""
    begin: Callable[..., None]
    """Begins a job."""
    end: Callable[[], None]
    """Ends it and frees memory."""
    nextjob: Callable[[], None]
    """Counts one job as done."""

    def assign_current_image(self, image: Image.Image) -> None:
        """Show a live preview; so do `set_current_image` and `do_set_current_image`, which decode the latent first."""


class HostOptions(Protocol):
    """`shared.opts`: the settings page. Values are read by `environment.option`."""

    data: MutableMapping[str, object]
    """Name -> value of what differs from its default."""
    data_labels: MutableMapping[str, object]
    """Name -> definition of all settings."""


class HostCheckpointInfo(Protocol):
    """One entry of `sd_models.checkpoints_list`."""

    name: str
    """Its file below the checkpoint folder."""
    title: str
    """What it is called in the list; a value of the setting `sd_model_checkpoint`."""
    filename: str
    """Its path."""


class HostVae(Protocol):
    """The model's VAE."""

    encoder: nn.Module
    """Called with images (batch, 3, height, width), -1 to 1."""
    decoder: nn.Module
    """Called with latents."""


class HostModel(Protocol):
    """`shared.sd_model`: AUTOMATIC1111's has `first_stage_model`, the Forge family's `forge_objects`."""

    cond_stage_model_empty_prompt: Any
    """The encoded empty prompt, a tensor or a dictionary of some."""


class HostUnetPatcher(Protocol):
    """The Forge family's UNet, which is copied before something is put on it."""

    model_options: MutableMapping[str, Any]
    """`model_function_wrapper` is what another extension has put there."""

    def clone(self) -> HostUnetPatcher:
        """A copy that shares the weights."""

    def set_model_unet_function_wrapper(self, wrapper: Callable[..., Tensor]) -> None:
        """Have `wrapper(apply_model, {input, timestep, c, cond_or_uncond})` called in place of the UNet."""


class _ForgeVae(Protocol):
    first_stage_model: HostVae


class HostForgeObjects(Protocol):
    """`sd_model.forge_objects` of the Forge family."""

    unet: HostUnetPatcher
    """What is sampled with; may be exchanged for a clone."""
    vae: _ForgeVae
    """The VAE's patcher."""


class HostMemoryManagement(Protocol):
    """The Forge family's `memory_management`."""

    def minimum_inference_memory(self) -> float:
        """Bytes to keep free for running a network."""

    def free_memory(self, size: float, device: Any) -> object:
        """Unload models until so many bytes are free."""

    def get_torch_device(self) -> Any:
        """Where models run."""


class HostDenoiser(Protocol):
    """`CFGDenoiser`, which a sampler calls once a step."""

    step: int
    """The step that is being denoised, from 0."""
    inner_model: nn.Module
    """The model as the sampler sees it, called as `forward(x, sigma, cond=...)`; AUTOMATIC1111's way."""
    forward: Callable[..., Tensor]
    """Called with `(x, sigma, uncond, cond, ...)`."""
    update_inner_model: Callable[..., None]
    """Called where the refiner takes over: `inner_model` is another one from then on."""


class HostSampler(Protocol):
    """`p.sampler`."""

    model_wrap_cfg: HostDenoiser
    """What it calls once a step."""
    sample_img2img: Callable[..., Tensor]
    """Denoises a latent from a part of the way; `steps` may be given."""


class HostScript(Protocol):
    """An always-on script of a generation."""

    filename: str
    """The file it comes from, by which extensions are told apart."""
    args_from: int | None
    """Where its arguments begin in `p.script_args`; None where it has none."""
    args_to: int | None
    """Where they end."""


class HostScriptRunner(Protocol):
    """`p.scripts`: may be copied and given other lists."""

    alwayson_scripts: list[HostScript]
    """Those that run for each generation."""
    selectable_scripts: list[HostScript]
    """Those of the Script dropdown."""
    callback_map: MutableMapping[str, Any]
    """Which scripts run at which hook, worked out once from the lists."""
    postprocess_batch_list: Callable[..., Any]
    """Called with `(p, pp)`, where `pp.images` are the decoded images of a batch, before they are rounded."""


class HostProcessing(Protocol):
    """A generation's parameters, `p`: they may be copied, and methods be set on the copy."""

    sd_model: HostModel
    sampler: HostSampler | None
    """Made by the host when sampling begins."""
    sampler_name: str | None
    steps: int
    seed: Any
    """A number, one for each image, or -1 or "" for any."""
    subseed: Any
    subseed_strength: float
    seed_resize_from_h: int
    seed_resize_from_w: int
    prompt: Any
    """A prompt, or one for each image."""
    negative_prompt: Any
    styles: list[str]
    width: int
    height: int
    """In pixels."""
    batch_size: int
    n_iter: int
    """Batch count."""
    iteration: int
    """Number of the batch that is being made, from 0."""
    is_api: bool
    tiling: bool
    """Seamless textures."""
    restore_faces: bool
    denoising_strength: float
    """0 to 1."""
    override_settings: dict[str, Any]
    """Settings for this generation alone."""
    extra_generation_params: dict[str, Any]
    """What goes into the infotext."""
    comments: dict[str, Any]
    """What is said below the images."""
    do_not_save_samples: bool
    do_not_save_grid: bool
    do_not_reload_embeddings: bool
    outpath_samples: str
    token_merging_ratio: float
    scripts_value: HostScriptRunner | None
    script_args_value: Sequence[Any] | None
    """All scripts' arguments; each has its part."""
    scripts_setup_complete: bool
    refiner_checkpoint: str | None
    refiner_checkpoint_info: HostCheckpointInfo | None

    all_prompts: list[str]
    all_negative_prompts: list[str]
    all_seeds: list[int]
    all_subseeds: list[int]
    """Of all batches; from here on known once the host has set the generation up."""
    prompts: list[str]
    negative_prompts: list[str]
    seeds: list[int]
    subseeds: list[int]
    """Of this batch."""
    sd_model_hash: str
    sd_vae_name: str | None
    sd_vae_hash: str | None
    rng: Any
    """The random numbers of the batch, `ImageRNG`; taken hold of when sampling begins."""
    c: Any
    uc: Any
    """The encoded prompts of the batch."""
    cached_c: list[Any]
    cached_uc: list[Any]
    """Those of the last batch with their keys."""

    init: Callable[..., None]
    """Called with all prompts and seeds before the first batch; what it raises is shown to the person."""
    sample: Callable[..., Any]
    """Makes the decoded images of a batch."""
    setup_conds: Callable[[], Any]
    """Encodes the prompts of a batch."""
    cached_params: Callable[..., Any]
    """The key under which encoded prompts are kept."""

    def comment(self, text: str) -> None:
        """Say something below the images."""

    def get_token_merging_ratio(self, for_hr: bool = False) -> float:
        """The ratio for the first or the second pass."""

    def fill_fields_from_opts(self) -> None:
        """Take what is not given from the settings page."""

    def save_samples(self) -> bool:
        """Whether images are saved."""

    def close(self) -> None:
        """Let go of what was kept for the run."""


class HostImg2Img(HostProcessing, Protocol):
    """`StableDiffusionProcessingImg2Img`."""

    init_images: list[Image.Image]
    resize_mode: int
    image_cfg_scale: float | None
    init_img_hash: str | None
    image_mask: Image.Image | None
    mask_blur_x: int
    mask_blur_y: int
    inpainting_mask_invert: int
    inpainting_fill: int
    """1 is "original"."""
    inpaint_full_res: bool
    mask: Any
    nmask: Any
    latent_mask: Any
    """Of latents; made by `init`."""
    mask_for_overlay: Image.Image | None
    overlay_images: list[Image.Image] | None
    """Laid over the finished images."""
    paste_to: tuple[int, int, int, int] | None
    color_corrections: list[Any] | None
    """None: made by `init` where the settings ask for it."""


class HostTxt2Img(HostProcessing, Protocol):
    """`StableDiffusionProcessingTxt2Img` with hires fix."""

    enable_hr: bool
    hr_scale: float
    hr_resize_x: int
    hr_resize_y: int
    """As given; 0 for automatic."""
    hr_upscale_to_x: int
    hr_upscale_to_y: int
    """The size to which the image is enlarged; worked out by `init`, as is what follows."""
    truncate_x: int
    truncate_y: int
    """Latent pixels that are cut off afterwards."""
    latent_scale_mode: dict[str, Any] | None
    """`mode` and `antialias` of an upscaler of latents; None for one of images."""
    hr_upscaler: str | None
    hr_checkpoint_info: HostCheckpointInfo | None
    hr_second_pass_steps: int
    """0 for those of the first pass."""
    hr_sampler_name: str | None
    all_hr_prompts: list[str]
    all_hr_negative_prompts: list[str]
    is_hr_pass: bool

    sample_hr_pass: Callable[..., Any]
    """The second pass: called with latents, decoded images, seeds and prompts, gives decoded images."""
    calculate_hr_conds: Callable[[], Any]
    """Encodes the second pass's prompts, once its sampler is there."""


class HostProcessed(Protocol):
    """What `process_images` gives."""

    images: list[Image.Image]
    infotexts: list[str]


class HostUpscaler(Protocol):
    """What stands behind an entry of the list of upscalers."""

    name: str
    model_path: str
    """The folder of its models."""

    def upscale(self, img: Image.Image, scale: float, selected_model: str | None = None) -> Image.Image | None:
        """The image, `scale` times as large."""


class HostUpscalerEntry(Protocol):
    """One entry of `shared.sd_upscalers`."""

    name: str
    data_path: str | None
    """A file, or the address it is to be downloaded from."""
    local_data_path: str | None
    """The file, once it has been downloaded."""
    scale: float
    scaler: Any
    """A `HostUpscaler`, ours or the WebUI's."""


class _Target(Protocol):
    target_width: int
    target_height: int


class HostPostprocessed(Protocol):
    """An image on its way through the Extras tab, `pp`."""

    image: Image.Image
    info: dict[str, Any]
    """What goes into its infotext."""
    shared: _Target
    """The size it is going to have, told to the postprocessors."""


class HostPostprocessor(Protocol):
    """A script of the Extras tab."""

    name: str
    args_from: int
    args_to: int
    controls: dict[str, Any] | None
    """Its components by name."""
