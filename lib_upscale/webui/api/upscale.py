# No `from __future__ import annotations` here: FastAPI resolves the annotations of endpoints itself.
"""The extension's part of the WebUI's API: typed requests and answers, on pydantic 1 and 2 alike."""

import base64
import binascii
import io
import secrets
from pathlib import Path
from typing import Any, Dict, List, Optional  # noqa: UP035 (pydantic 1 reads these at run time)

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from PIL import Image
from pydantic import BaseModel, Field

from lib_upscale.errors import (
    CancelledError,
    PictureTooLargeError,
    SettingsError,
    UnknownModelError,
    UpscalePlusError,
)
from lib_upscale.image.io.opening import open_image
from lib_upscale.image.picture import Picture
from lib_upscale.models.catalog.catalog import Entry
from lib_upscale.models.identity import Identity
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.webui.api.schema import request_model, request_values
from lib_upscale.webui.host import environment, jobs
from lib_upscale.webui.upscalers import registry
from lib_upscale.webui.upscalers import settings_page as page
from lib_upscale.webui.upscalers.engine import engine, model_list
from lib_upscale.webui.upscalers.infotext import create_infotext

__all__ = ["PREFIX", "add_routes", "decode_image", "protection", "to_http_error"]

PREFIX = "/upscale-plus/v1"


UpscaleRequest = request_model(
    "UpscalePlusRequest",
    UpscaleSettings,
    {"images": (List[str], Field(..., title="Images", description="Images as base64, or as data URIs."))},  # noqa: UP006
)


class ImageInfo(BaseModel):  # type: ignore[misc]
    """What was done to one image."""

    input_width: int
    input_height: int
    width: int
    height: int
    upscaler: str
    tiles: Optional[int] = None  # noqa: UP045
    plan: str = Field(..., description="The line that the Extras tab shows before the run.")
    infotext: str = Field(..., description="As it is written into images that the Extras tab saves.")


class UpscaleAnswer(BaseModel):  # type: ignore[misc]
    """The results, in the order of the images sent."""

    images: List[str] = Field(..., description="PNG files as base64.")  # noqa: UP006
    info: List[ImageInfo]  # noqa: UP006


class ModelItem(BaseModel):  # type: ignore[misc]
    """A file in the model folders."""

    name: str = Field(..., description="What `model` and its like are given.")
    file: str
    kind: str
    architecture: Optional[str] = None  # noqa: UP045
    scale: Optional[int] = None  # noqa: UP045
    usable: bool
    problem: Optional[str] = Field(None, description="Why it can't be used, and what to do.")  # noqa: UP045


class IdentifyRequest(BaseModel):  # type: ignore[misc]
    """Which file is meant."""

    file: str = Field(..., description="A file's name, or its name in the list of models. Paths are not accepted.")


def add_routes(app: FastAPI) -> None:
    """Add the endpoints, if the WebUI was started with its API; behind a password, if it has one."""
    if not environment.api_is_on():
        return
    more = protection()
    app.add_api_route(f"{PREFIX}/upscale", _upscale, methods=["POST"], response_model=UpscaleAnswer, **more)
    app.add_api_route(f"{PREFIX}/models", _models, methods=["GET"], response_model=List[ModelItem], **more)  # noqa: UP006
    app.add_api_route(f"{PREFIX}/identify", _identify, methods=["POST"], response_model=ModelItem, **more)
    app.add_api_route(f"{PREFIX}/refresh", _refresh, methods=["POST"], response_model=List[ModelItem], **more)  # noqa: UP006


def protection() -> Dict[str, Any]:  # noqa: UP006
    """The arguments of every route: the host does not protect routes of extensions by itself."""
    return {
        "tags": ["Upscale Plus"],
        "dependencies": [Depends(_check_password)] if environment.api_credentials() else [],
    }


def _check_password(credentials: HTTPBasicCredentials = Depends(HTTPBasic())) -> None:  # noqa: B008 (how FastAPI injects)
    known = environment.api_credentials()
    # Every pair is compared to its end, so that the time taken tells nothing of users or passwords.
    matches = [
        secrets.compare_digest(credentials.username.encode(), user.encode())
        & secrets.compare_digest(credentials.password.encode(), password.encode())
        for user, password in known.items()
    ]
    if not any(matches):
        raise HTTPException(401, "Incorrect username or password", {"WWW-Authenticate": "Basic"})


def _upscale(request: UpscaleRequest) -> UpscaleAnswer:  # type: ignore[valid-type]
    """Upscale images with any of the listed models."""
    values = request_values(request)
    sources = values.pop("images")
    try:
        settings = _with_defaults(values)
        if not sources:
            raise SettingsError("No image was given", "put at least one into images")
        pictures = [decode_image(source, f"image {number}") for number, source in enumerate(sources, 1)]
        with jobs.queue_lock(), jobs.api_job(len(pictures)):
            try:
                done = [_upscale_one(picture, settings) for picture in pictures]
            finally:
                engine.after_job()
    except UpscalePlusError as error:
        raise to_http_error(error) from error
    return UpscaleAnswer(images=[image for image, _ in done], info=[info for _, info in done])


def _models() -> List[ModelItem]:  # noqa: UP006
    """List all files in the model folders, with what they are."""
    return [_describe_model(entry) for entry in model_list.entries()]


def _identify(request: IdentifyRequest) -> ModelItem:
    """Say what one file in the model folders is."""
    wanted = request.file
    # Only names are compared: nothing that a caller writes is ever used as a path.
    found = [entry for entry in model_list.entries() if wanted in (entry.name, entry.path.name)]
    if not found:
        raise HTTPException(404, f"There is no file called '{wanted}' in the model folders")
    return _describe_model(found[0])


def _refresh() -> List[ModelItem]:  # noqa: UP006
    """Look for new files in the model folders."""
    with jobs.queue_lock():
        registry.refresh()
    return _models()


def _with_defaults(values: Dict[str, Any]) -> UpscaleSettings:  # noqa: UP006
    """The settings of a request, the rest as on the settings page; models by their names in the list."""
    usual = {key: value for key, value in page.usual().to_dict().items() if values.get(key) is None}
    settings = UpscaleSettings.from_dict({**values, **usual})
    listed = model_list.upscalers()
    if not settings.model and not any(entry.name == "" for entry in listed):
        raise UnknownModelError("", tuple(entry.name for entry in listed[:3]))
    return settings.with_models(lambda name: model_list.find_listed(name).name)


def decode_image(source: str, name: str) -> Picture:
    """An image sent as base64 or as a data URI; errors call it `name`. Raises `UpscalePlusError`."""
    path = Path(name)
    if source.startswith("data:"):
        source = source.partition(",")[2]
    try:
        data = base64.b64decode(source, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SettingsError(f"{path} is not base64 ({error})", "send the file's bytes as base64") from error
    image = open_image(path, io.BytesIO(data), page.decompression_limit())
    try:
        image.load()
        return Picture.from_pil(image)
    except Exception as error:
        raise SettingsError(f"{path} is damaged or incomplete ({error})", "send the whole file") from error


def _upscale_one(picture: Picture, settings: UpscaleSettings) -> "tuple[str, ImageInfo]":
    if environment.state().interrupted:
        raise CancelledError()
    with jobs.image_progress() as progress:
        result = engine.upscale(picture, settings, progress)
    buffer = io.BytesIO()
    image = result.picture.to_pil()
    image.save(buffer, "PNG", **_png_arguments(image))
    jobs.count_image()
    info = ImageInfo(
        input_width=picture.size.width,
        input_height=picture.size.height,
        width=image.width,
        height=image.height,
        upscaler=settings.model,
        tiles=result.plan.tiles,
        plan=result.plan.describe(),
        infotext=", ".join(f"{key}: {value}" for key, value in create_infotext(settings, result.plan).items() if value),
    )
    return base64.b64encode(buffer.getvalue()).decode("ascii"), info


def _png_arguments(image: Image.Image) -> Dict[str, Any]:  # noqa: UP006
    """Texts, profile and EXIF, as Pillow's writer wants them."""
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    for key, value in image.info.items():
        if isinstance(key, str) and isinstance(value, str):
            texts.add_text(key, value)
    kept: Dict[str, Any] = {key: image.info[key] for key in ("icc_profile", "exif", "dpi") if key in image.info}  # noqa: UP006
    return {"pnginfo": texts, **kept}


def _describe_model(entry: Entry) -> ModelItem:
    identity: Identity = entry.identity
    problem = None if identity.usable else ": ".join(part for part in (identity.problem, identity.advice) if part)
    return ModelItem(
        name=entry.name,
        file=entry.path.name,
        kind=identity.kind.value,
        architecture=identity.architecture,
        scale=identity.network.scale if identity.network is not None else None,
        usable=identity.usable,
        problem=problem,
    )


def to_http_error(error: UpscalePlusError) -> HTTPException:
    """Turn an error of the library into an answer with its reason; none is a fault of the server."""
    codes = {UnknownModelError: 404, PictureTooLargeError: 413, CancelledError: 409}
    return HTTPException(codes.get(type(error), 422), str(error))
