# No `from __future__ import annotations` here: FastAPI resolves the annotations of endpoints itself.
"""`POST /upscale-plus/v1/redraw`: img2img's own names and those of `RedrawSettings`, on pydantic 1 and 2 alike."""

import json
from typing import Any, Dict, List, Optional  # noqa: UP035 (pydantic 1 reads these at run time)

from fastapi import FastAPI
from pydantic import BaseModel, Field

from lib_upscale.errors import UpscalePlusError
from lib_upscale.settings.redraw import RedrawSettings
from lib_upscale.webui.api import upscale as api
from lib_upscale.webui.api.schema import request_model, request_values
from lib_upscale.webui.host import environment, jobs
from lib_upscale.webui.sd_upscale.page import FIELDS, parse_request, target_of
from lib_upscale.webui.sd_upscale.request import TITLE

__all__ = ["add_route"]

_HOST: "Dict[str, tuple[Any, Any, str]]" = {  # noqa: UP006
    "prompt": (str, "", "What the image shows. Empty: highly detailed."),
    "negative_prompt": (str, "", "What it must not show."),
    "styles": (Optional[List[str]], None, "Names of the WebUI's styles."),  # noqa: UP006, UP045
    "denoising_strength": (float, 0.3, "How much is redrawn, 0 to 1."),
    "steps": (int, 20, "Sampling steps."),
    "sampler_name": (Optional[str], None, "As the WebUI lists it. Default: its first."),  # noqa: UP045
    "scheduler": (Optional[str], None, "Schedule type, as the WebUI lists it."),  # noqa: UP045
    "cfg_scale": (float, 7.0, "How closely the prompt is followed."),
    "seed": (int, -1, "-1 is a random seed."),
    "subseed": (int, -1, "Variation seed."),
    "subseed_strength": (float, 0.0, "Variation strength."),
    "seed_resize_from_h": (int, -1, "Resize seed from height."),
    "seed_resize_from_w": (int, -1, "Resize seed from width."),
    "n_iter": (int, 1, "Batch count: images with consecutive seeds."),
    "eta": (Optional[float], None, "Eta."),  # noqa: UP045
    "s_churn": (Optional[float], None, "Sigma churn."),  # noqa: UP045
    "s_noise": (Optional[float], None, "Sigma noise."),  # noqa: UP045
    "s_tmin": (Optional[float], None, "Sigma min."),  # noqa: UP045
    "s_tmax": (Optional[float], None, "Sigma max."),  # noqa: UP045
    "mask": (Optional[str], None, "Where to redraw: an image as base64, white where to."),  # noqa: UP045
    "mask_blur": (int, 4, "Blur of the mask in pixels of the image that was sent."),
    "inpainting_mask_invert": (int, 0, "1 redraws what is not masked."),
    "restore_faces": (Optional[bool], None, "As in img2img."),  # noqa: UP045
    "override_settings": (Optional[Dict[str, Any]], None, "The WebUI's own settings, for this job."),  # noqa: UP006, UP045
    "override_settings_restore_afterwards": (bool, True, "Whether they are taken back."),
    "alwayson_scripts": (Optional[Dict[str, Any]], None, "As in /sdapi/v1/img2img."),  # noqa: UP006, UP045
}
_OWN: "Dict[str, tuple[Any, Any, str]]" = {  # noqa: UP006
    "test": (bool, False, "Redraw one tile only and answer with it."),
    "test_tile": (int, 0, "Which tile, counted by rows from 1; 0 is the one in the center."),
    "save_images": (bool, False, "Whether the WebUI saves the result, too."),
    "send_images": (bool, True, "Whether the answer holds the images."),
}


RedrawRequest = request_model(
    "UpscalePlusRedrawRequest",
    RedrawSettings,
    {
        "image": (str, Field(..., description="The image as base64, or as a data URI.")),
        **{name: (kind, Field(default, description=text)) for name, (kind, default, text) in {**_HOST, **_OWN}.items()},
    },
)


class RedrawAnswer(BaseModel):  # type: ignore[misc]
    """The results and what is known of them."""

    images: List[str] = Field(..., description="Images as base64, in the WebUI's format for samples.")  # noqa: UP006
    info: Dict[str, Any] = Field(  # noqa: UP006
        ..., description="seed, all_seeds, infotexts, width, height and more, as in /sdapi/v1/img2img."
    )


def add_route(app: FastAPI) -> None:
    """Add the endpoint, if the WebUI was started with its API; behind a password, if it has one."""
    if not environment.api_is_on():
        return

    def redraw_picture(request: RedrawRequest) -> RedrawAnswer:  # type: ignore[valid-type]
        """Upscale an image and redraw it by tiles."""
        try:
            return _answer(app, request_values(request))
        except UpscalePlusError as error:
            raise api.to_http_error(error) from error

    app.add_api_route(
        f"{api.PREFIX}/redraw", redraw_picture, methods=["POST"], response_model=RedrawAnswer, **api.protection()
    )


def _answer(app: FastAPI, values: Dict[str, Any]) -> RedrawAnswer:  # noqa: UP006
    own = {name: values.pop(name) for name in _OWN}
    host_values = {name: value for name in _HOST if (value := values.pop(name)) is not None}
    image = values.pop("image")
    for source, name in ((image, "image"), (host_values.get("mask"), "mask")):
        if source:
            api.decode_image(source, name)  # the host's own words for what it can't read say less
    settings = RedrawSettings.from_dict(values)
    arguments = {**values, "target": target_of(settings).value, "test": own["test"], "test_tile": own["test_tile"]}
    parse_request(arguments)
    request = {
        **host_values,
        "init_images": [image],
        "batch_size": settings.batch_size,
        "script_name": TITLE,
        "script_args": [arguments.get(name) for name in FIELDS],
        "save_images": own["save_images"],
        "send_images": own["send_images"],
    }
    answer = jobs.img2img_by_api(app, request)
    return RedrawAnswer(images=answer.images or [], info=json.loads(answer.info))
