"""The Extras tab's job: reads, runs the chain, saves."""

import os

from PIL import Image

from modules import devices, images, scripts, scripts_postprocessing, shared
from modules.shared import opts


def run_postprocessing(
    extras_mode, image, image_folder, input_dir, output_dir, show_extras_results, *args, save_output: bool = True
):
    """(pictures, text, log). Files that can't be read are left out; the first error ends the job."""
    shared.state.begin(job="extras")
    if extras_mode == 1:
        work = [(x, "") if isinstance(x, Image.Image) else (images.read(x.name), x.orig_name) for x in image_folder]
    elif extras_mode == 2:
        work = [(path, path) for path in shared.listfiles(input_dir)]
    else:
        work = [(image, None)]
    shared.state.job_count = len(work)
    outputs, text = [], ""
    for picture, name in work:
        shared.state.nextjob()
        shared.state.skipped = False
        if shared.state.interrupted:
            break
        if isinstance(picture, str):
            try:
                picture = images.read(picture)
            except Exception:
                continue
        picture = picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGB")
        images.read_info_from_image(picture)
        pp = scripts_postprocessing.PostprocessedImage(picture)
        scripts.scripts_postproc.run(pp, args)
        if shared.state.skipped:
            continue
        stem = os.path.splitext(os.path.basename(name))[0] if name else None
        text = ", ".join(f"{key}: {value}" for key, value in pp.info.items() if value is not None)
        shared.state.assign_current_image(pp.image)
        if save_output:
            where = output_dir or opts.outdir_extras_samples
            images.save_image(pp.image, path=where, basename="", extension="png", info=text, forced_filename=stem)
        outputs.append(pp.image)
    devices.torch_gc()
    shared.state.end()
    return outputs, text, ""


def run_extras(extras_mode, image, image_folder, extras_upscaler_1, upscaling_resize, save_output=True):
    """For the API: nothing but the host's own postprocessor gets any argument."""
    own = {"upscale_enabled": True, "upscale_by": upscaling_resize, "upscaler_1_name": extras_upscaler_1}
    args = scripts.scripts_postproc.create_args_for_run({"Upscale": own})
    return run_postprocessing(extras_mode, image, image_folder, "", "", True, *args, save_output=save_output)
