"""What the adapters promise where hosts and files differ from the usual; run like in_process_checks."""

from __future__ import annotations

import base64
import errno
import io
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from modules import postprocessing, scripts, scripts_postprocessing, shared
from PIL import Image, ImageCms

from lib_upscale.errors import SettingsError
from lib_upscale.image.io import read_picture, write_picture
from lib_upscale.image.metadata import Metadata
from lib_upscale.image.picture import Picture
from lib_upscale.webui.extras import batch, originals
from lib_upscale.webui.host.patching import replaced
from lib_upscale.webui.sd_upscale import axes
from lib_upscale.webui.upscalers import engine, registry
from tests.webui.in_process_checks import entry, extras_arguments, picture
from tests.webui.models import NEAREST


def check_every_family_of_the_host_is_taken_over_and_its_folder_searched(data: Path) -> None:
    from modules.upscaler import Upscaler, UpscalerData

    folder = data / "elsewhere"
    folder.mkdir(exist_ok=True)
    file = folder / "2x_Compact.pth"
    shutil.copy(data / "models" / "ESRGAN" / f"{NEAREST}.pth", file)
    before = list(shared.sd_upscalers)
    for module, taken in (("modules.compact_model", True), ("scripts.somebody", False)):
        kind = type("UpscalerCOMPACT", (Upscaler,), {"__module__": module, "name": "COMPACT", "scalers": []})
        scaler = kind()
        scaler.model_path = str(folder)
        try:
            shared.sd_upscalers.append(UpscalerData("2x_Compact", str(file), scaler, 4))
            registry.refresh()
            assert isinstance(entry("2x_Compact").scaler, registry.Scaler) is taken, module
            assert entry("2x_Compact").scale == (2 if taken else 4)
            listed = [model.path for model in engine.model_list.upscalers()]
            assert (file in listed) is taken, "the API lists what is in the folder"
        finally:
            shared.sd_upscalers[:] = before
            registry.refresh()


def check_making_smaller_runs_no_network(_: Path) -> None:
    image = picture(40, 24)

    def fail(*arguments: Any, **named: Any) -> Any:
        raise AssertionError("a network was run")

    with replaced(engine.engine, "run", fail):
        smaller = entry(NEAREST).scaler.upscale(image, 0.5, entry(NEAREST).data_path)
    assert np.array_equal(smaller, image.resize((20, 12), Image.Resampling.LANCZOS))
    runs: list[Any] = []
    original = engine.engine.run
    with replaced(engine.engine, "run", lambda *arguments: runs.append(arguments) or original(*arguments)):
        assert entry("1x_Clean").scaler.upscale(image, 0.5).size == (20, 12)
        assert entry(NEAREST).scaler.upscale(image, 1).size == (40, 24), "as the host, which runs it at 1"
    assert len(runs) == 2


def check_damaged_exif_ends_no_batch(data: Path) -> None:
    folder = data / "exif"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x010E] = "x" * 40
    for number, text in enumerate((exif.tobytes(), exif.tobytes()[:22], exif.tobytes())):
        picture(seed=number).save(folder / f"{number}.jpg", exif=text)
    pictures, text, *_rest = postprocessing.run_postprocessing(
        2, None, None, str(folder), str(data / "exif-out"), True, *extras_arguments(), save_output=False
    )
    assert len(pictures) == 3, text


def check_a_result_that_cannot_be_saved_ends_no_batch(data: Path) -> None:
    from modules import images as host_images

    def save_image(image: Any, *arguments: Any, **named: Any) -> Any:
        saved.append(named.get("path"))
        if len(saved) == 2:
            raise OSError("No space left on device")
        return original(image, *arguments, **named)

    saved: list[Any] = []
    original = host_images.save_image
    folder, results = data / "unsaved", data / "unsaved-out"
    folder.mkdir()
    for seed in range(3):
        picture(seed=seed).save(folder / f"{seed}.png")
    with replaced(host_images, "save_image", save_image):
        pictures, text, *_rest = postprocessing.run_postprocessing(
            2, None, None, str(folder), str(results), True, *extras_arguments()
        )
    assert len(saved) == len(pictures) == 3
    assert "1 image failed" in text, text
    assert sorted(path.name for path in results.iterdir()) == ["0.png", "2.png"]
    assert "1.png: the result could not be saved (No space left on device)" in text


def check_the_last_result_in_extras_is_never_a_live_preview(_: Path) -> None:
    """It may reach the page after the bar has gone, and would lie over the results of the next jobs."""
    images = [picture(seed=seed) for seed in range(3)]
    for count in (1, 3):
        shown: list[Image.Image] = []
        with replaced(shared.state, "assign_current_image", shown.append):
            results, *_rest = postprocessing.run_postprocessing(
                1, None, images[:count], "", "", True, *extras_arguments(), save_output=False
            )
        assert len(results) == count
        expected = [np.asarray(image).repeat(2, 0).repeat(2, 1) for image in images[: count - 1]]
        assert len(shown) == len(expected)
        assert all(np.array_equal(image, wanted) for image, wanted in zip(shown, expected, strict=True))
    with replaced(shared.state, "assign_current_image", shown.append):
        postprocessing.run_postprocessing(0, images[0], None, "", "", True, *extras_arguments(), save_output=False)
    assert len(shown) == 2, "of a single image there is none"


def check_a_folder_without_images_is_said(data: Path) -> None:
    folder = data / "no-images"
    (folder / "below").mkdir(parents=True)
    for path, text in ((folder / "below", "no images in"), (folder, "only subfolders: choose Include subfolders")):
        answer = postprocessing.run_postprocessing(2, None, None, str(path), "", True, *extras_arguments())
        assert text in answer[1], answer


def check_a_folder_that_does_not_exist_is_named(data: Path) -> None:
    for path in (data / "nowhere", data / ("long" * 100)):
        said = ""
        try:
            postprocessing.run_postprocessing(2, None, None, str(path), "", True, *extras_arguments())
        except SettingsError as error:
            said = str(error)
        assert said == f"The input directory {path} does not exist: check its path", said


def check_a_host_that_opens_images_itself_names_unreadable_files_and_keeps_folders(data: Path) -> None:
    """Forge Classic's function, which has no `images.read`."""

    def run_postprocessing(
        extras_mode: int, image: Any, image_folder: Any, input_dir: str, output_dir: str, show: bool, *args: Any
    ) -> Any:
        outputs = []
        postprocessing.shared.state.begin(job="extras")
        for path in postprocessing.shared.listfiles(input_dir):
            postprocessing.shared.state.nextjob()
            postprocessing.shared.state.skipped = False
            try:
                opened = postprocessing.Image.open(path)
            except Exception:
                continue
            pp = scripts_postprocessing.PostprocessedImage(opened.convert("RGB"))
            postprocessing.scripts.scripts_postproc.run(pp, args)
            if not postprocessing.shared.state.skipped:
                outputs.append(pp.image)
                name = Path(path).stem
                how = {"basename": "", "forced_filename": name, "no_prompt": True, "save_to_dirs": False}
                postprocessing.images.save_image(pp.image, path=output_dir, **how)
        postprocessing.shared.state.end()
        return outputs, "", ""

    folder, results = data / "classic", data / "classic-out"
    (folder / "below").mkdir(parents=True)
    picture(seed=1).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"no image")
    picture(seed=2).save(folder / "below" / "a.png")
    names = ("save_image", "read_info_from_image")
    images = SimpleNamespace(**{name: getattr(postprocessing.images, name) for name in names})
    with replaced(postprocessing, "images", images):
        outputs, text, _ = batch._wrap(run_postprocessing)(  # type: ignore[misc]
            2, None, None, str(folder), str(results), True, *extras_arguments(recurse=True)
        )
    assert len(outputs) == 2
    assert sorted(str(path.relative_to(results)) for path in results.rglob("*.*")) == ["a.png", "below/a.png"]
    assert "b.png: is not an image" in text or "b.png is not an image" in text, text
    assert postprocessing.Image is Image


def check_results_beside_their_sources_are_left_out_with_a_word(data: Path) -> None:
    folder = data / "own-results"
    folder.mkdir()
    for name in ("a.png", "a-upscaled.png", "b.png"):
        picture().save(folder / name)
    answer = postprocessing.run_postprocessing(2, None, None, str(folder), str(folder), True, *extras_arguments())
    assert len(answer[0]) == 2
    assert "1 file left out, a result (-upscaled) of another file there" in answer[1], answer[1]


def check_axes_are_added_where_the_plot_has_only_options_of_their_class(_: Path) -> None:
    """Forge Classic's module imports one of the three classes."""

    class Option:
        def __init__(self, label: str, kind: Any, apply: Any, **_: Any) -> None:
            self.label = label

    kind = type("AxisOptionImg2Img", (Option,), {})
    plot = SimpleNamespace(axis_options=[Option("Seed", int, None), kind("Denoising", float, None)])
    # An extension there, whose file is called as the host's own.
    script = SimpleNamespace(script_class=type("XYZ", (), {"__module__": "xyz_grid.py"}), module=plot)
    others = [SimpleNamespace(script_class=type("Other", (), {}), module=SimpleNamespace())]
    with replaced(scripts, "scripts_data", [*others, script]):
        axes.AXES.add()
        assert sum(type(option) is kind for option in plot.axis_options) > 5
        axes.AXES.remove()
    assert [option.label for option in plot.axis_options] == ["Seed", "Denoising"]


def deep_file(path: Path) -> Picture:
    """A file with 16 bits, transparency, a profile and EXIF: its content."""
    ramp = np.arange(40 * 24, dtype=np.uint32).reshape(24, 40) * 68 % 65536
    pixels = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=2).astype(np.uint16)
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    known = Metadata(icc=profile, exif=exif.tobytes().removeprefix(b"Exif\0\0"), dpi=(300.0, 300.0))
    content = Picture(pixels, ramp.astype(np.uint16) // 2 + 100, known)
    write_picture(content, path)
    return read_picture(path)


def check_nothing_is_lost_of_files_in_a_folder(data: Path) -> None:
    folder, results = data / "deep", data / "deep-out"
    folder.mkdir()
    source = deep_file(folder / "deep.png")
    write_picture(Picture(source.pixels[:, :, :1], None, Metadata()), folder / "gray.png")
    answer = postprocessing.run_postprocessing(2, None, None, str(folder), str(results), True, *extras_arguments())
    assert len(answer[0]) == 2
    assert all(image.mode in ("RGB", "RGBA") for image in answer[0]), "the host and the page have 8 bits"
    made = read_picture(results / "deep.png")
    assert made.bits == 16
    assert np.array_equal(made.pixels, source.pixels.repeat(2, axis=0).repeat(2, axis=1)), "the model is nearest, twice"
    assert made.alpha is not None
    assert (made.metadata.icc, made.metadata.exif) == (source.metadata.icc, source.metadata.exif)
    assert made.metadata.text["postprocessing"], "the host's own text is there, too"
    gray = read_picture(results / "gray.png")
    assert (gray.bits, gray.channels) == (16, 1)
    assert np.array_equal(gray.pixels, source.pixels[:, :, :1].repeat(2, axis=0).repeat(2, axis=1))


def check_a_photo_keeps_profile_and_exif(data: Path) -> None:
    folder, results = data / "photo", data / "photo-out"
    folder.mkdir()
    source = deep_file(folder / "photo.jpg")
    shared.opts.data["samples_format"] = "jpg"
    try:
        postprocessing.run_postprocessing(2, None, None, str(folder), str(results), True, *extras_arguments())
    finally:
        shared.opts.data["samples_format"] = "png"
    (path,) = results.glob("photo.*")
    made = read_picture(path)
    assert made.metadata.icc == source.metadata.icc
    with Image.open(path) as image:
        assert image.getexif()[0x010F] == "A camera"


def check_off_the_host_saves_as_ever(data: Path) -> None:
    folder, results = data / "off", data / "off-out"
    folder.mkdir()
    deep_file(folder / "deep.png")
    postprocessing.run_postprocessing(2, None, None, str(folder), str(results), True, *extras_arguments(enabled=False))
    assert read_picture(results / "deep.png").bits == 8


def check_an_upload_of_the_tab_single_is_read_again(data: Path) -> None:
    path, results = data / "upload.png", data / "upload-out"
    source = deep_file(path)
    component = SimpleNamespace(
        preprocess=lambda value: Image.open(io.BytesIO(base64.b64decode(value[22:]))).convert("RGBA")
    )
    originals.keep_uploads(component)  # type: ignore[arg-type]
    image = component.preprocess("data:image/png;base64," + base64.b64encode(path.read_bytes()).decode())
    before = shared.opts.data.get("outdir_extras_samples")
    shared.opts.data["outdir_extras_samples"] = str(results)
    try:
        postprocessing.run_postprocessing(0, image, None, "", "", True, *extras_arguments())
    finally:
        shared.opts.data["outdir_extras_samples"] = before
    (saved,) = results.rglob("*.png")
    assert read_picture(saved).bits == 16
    assert read_picture(saved).metadata.icc == source.metadata.icc


def check_what_another_extension_does_to_a_saved_image_stays(data: Path) -> None:
    def mark(image: Image.Image, *arguments: Any, **named: Any) -> Any:
        marked = image.copy()
        marked.paste((255, 0, 0), (0, 0, 8, 8))
        return original(marked, *arguments, **named)

    folder, original = data / "marked", postprocessing.images.save_image
    folder.mkdir()
    deep_file(folder / "deep.png")
    for ending in ("png", "jpg"):
        results = data / f"marked-{ending}"
        shared.opts.data["samples_format"] = ending
        try:
            with replaced(postprocessing.images, "save_image", mark):
                postprocessing.run_postprocessing(2, None, None, str(folder), str(results), True, *extras_arguments())
        finally:
            shared.opts.data["samples_format"] = "png"
        (path,) = results.glob("deep.*")
        with Image.open(path) as saved:
            red, green, blue = saved.convert("RGB").getpixel((4, 4))  # type: ignore[misc]
        assert min(red, 255 - green, 255 - blue) > 200, (ending, red, green, blue)


def check_an_upload_is_upscaled_where_no_copy_of_it_can_be_made(_: Path) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    image = picture()
    content = io.BytesIO()
    image.save(content, "PNG")
    originals._uploads.put(image, content.getvalue())
    with replaced(originals.tempfile, "TemporaryDirectory", refuse):
        answer = postprocessing.run_postprocessing(0, image, None, "", "", False, *extras_arguments())
    assert len(answer[0]) == 1, answer
