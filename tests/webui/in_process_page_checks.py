"""What the pages, the settings and the API promise, as functions that run inside a host. See in_process_checks."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
from modules import call_queue, scripts, shared

from lib_upscale.errors import UpscalePlusError
from lib_upscale.settings.fields import options
from lib_upscale.settings.redraw import RedrawSettings
from lib_upscale.settings.target import TargetSettings
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.webui.api import upscale as api
from lib_upscale.webui.api.schema import request_model, request_values
from lib_upscale.webui.callbacks.sd_upscale_plus import SdUpscalePlusCallbacks
from lib_upscale.webui.extras import postprocess
from lib_upscale.webui.extras.plan_summary import plan_summary
from lib_upscale.webui.hires_fix.page import HiresPage
from lib_upscale.webui.host.patching import replaced
from lib_upscale.webui.sd_upscale import job
from lib_upscale.webui.sd_upscale.page import FIELDS, RedrawPage
from lib_upscale.webui.ui import upscale_controls
from lib_upscale.webui.upscalers import engine, registry, settings_page
from tests.settings.samples import all_samples
from tests.webui.in_process_checks import LORA, NEAREST_4X, entry, picture
from tests.webui.models import NEAREST


def check_there_are_no_routes_without_the_api(_: Path) -> None:
    from fastapi import FastAPI

    app = FastAPI()
    with replaced(shared.cmd_opts, "api", False), replaced(shared.cmd_opts, "nowebui", False):
        api.add_routes(app)
    assert not [route for route in app.routes if route.path.startswith(api.PREFIX)]
    api.add_routes(app)
    assert len([route for route in app.routes if route.path.startswith(api.PREFIX)]) == 4


def check_the_api_waits_for_the_host_s_lock(_: Path) -> None:
    class Lock:
        held = False

        def __enter__(self) -> None:
            self.held = True

        def __exit__(self, *_: Any) -> None:
            self.held = False

    def upscale(*arguments: Any) -> Any:
        seen.append(lock.held)
        return original(*arguments)

    lock, seen, original = Lock(), [], engine.engine.upscale
    source = io.BytesIO()
    picture().save(source, "PNG")
    request = api.UpscaleRequest(images=[base64.b64encode(source.getvalue()).decode()], model=NEAREST)
    with replaced(call_queue, "queue_lock", lock), replaced(engine.engine, "upscale", upscale):
        api._upscale(request)
    assert (seen, lock.held) == ([True], False)


def check_every_setting_has_a_control_with_its_label(_: Path) -> None:
    script = next(x for x in scripts.scripts_postproc.scripts if x.name == postprocess.NAME)
    assert set(options(UpscaleSettings)) <= set(script.controls)
    assert script.controls["tile"].label == options(UpscaleSettings)["tile"].label


def check_the_first_values_of_the_controls_are_settings(_: Path) -> None:
    script = next(x for x in scripts.scripts_postproc.scripts if x.name == postprocess.NAME)
    values = {name: component.value for name, component in script.controls.items()}
    settings = upscale_controls.settings_of(values)
    assert settings.to_dict() == {"model": settings.model, "scale": 2.0}
    assert upscale_controls.name_of(values["model"]) == settings.model


def check_the_line_says_what_will_happen_or_why_not(_: Path) -> None:
    values = {"enabled": True, "model": NEAREST, "target_kind": "Factor", "scale": 3}
    text = plan_summary((50, 40), {}, values, as_html=False)
    assert "50x40 -> 150x120" in text
    assert NEAREST in text
    assert "2 passes" in text
    assert "2 tiles" in text, text
    assert "tile 50 (automatic)" in text, text
    text = plan_summary((50, 40), {}, {**values, "tile": "64", "overlap": ""}, as_html=False)
    assert "(automatic)" not in text, text
    assert "models/Lora" in plan_summary((50, 40), {}, {**values, "model": LORA}, as_html=False)
    assert "choose one" in plan_summary((50, 40), {}, {**values, "model": None}, as_html=False)
    assert "2x_Loose" in plan_summary((50, 40), {}, {**values, "model": "2x_Loose"}, as_html=False)
    before = plan_summary(None, {}, values, as_html=False)
    assert "other_lora.safetensors is a LoRA, not an upscaler: move it to models/Lora" in before
    host_values = {"upscale_enabled": True, "upscaler_1_name": NEAREST_4X, "upscale_by": 2, "upscale_mode": 0}
    assert "50x40 -> 300x240 in all" in plan_summary((50, 40), host_values, values, as_html=False)


def check_every_setting_passes_the_api(_: Path) -> None:
    classes: tuple[type[TargetSettings], ...] = (UpscaleSettings, RedrawSettings)
    for settings in classes:
        model = request_model(f"Try{settings.__name__}", settings, {})
        for sample in all_samples(settings):
            assert settings.from_dict(request_values(model(**sample.to_dict()))) == sample, sample
        for word in ("auto", "automatic", "", 0, -1, None):
            assert settings.from_dict(request_values(model(tile=word))) == settings()
        for wrong in (
            {"tile": -2},
            {"tile": "large"},
            {"tile": 99999},
            {"scale": 0},
            {"modle": "x"},
            {"fit": "squeeze"},
        ):
            try:
                model(**wrong)
            except ValueError:
                continue
            raise AssertionError(f"{wrong} was accepted")


def check_prompts_of_tiles_are_offered_from_what_the_host_has(_: Path) -> None:
    """Forge Neo can't describe an image."""

    text = {"Script": "SD upscale plus", "Hires fix plus": "joint"}
    text |= {f"{title} prompt source": "caption" for title in ("SD upscale plus", "Hires fix plus")}

    def offered_and_pasted() -> tuple[set[str], set[Any]]:
        offered, pasted = set(), set()
        for page in (RedrawPage(), HiresPage()):
            with gr.Blocks():
                page.build()
            control = page.inputs["prompt_source"]
            offered.update(choice if isinstance(choice, str) else choice[1] for choice in control.choices)
            restore = next(found for component, found in page.infotext_fields() if component is control)
            pasted.add(restore(text)["value"])
        return offered, pasted

    with replaced(shared, "interrogator", SimpleNamespace()):
        offered, pasted = offered_and_pasted()
        assert offered >= {"picture", "tile", "caption"}
        assert pasted == {"caption"}
    with replaced(shared, "interrogator", None):
        offered, pasted = offered_and_pasted()
        assert "caption" not in offered
        assert pasted == {"picture"}


def check_automatic_is_an_empty_field_that_says_so(_: Path) -> None:
    script = next(x for x in scripts.scripts_postproc.scripts if x.name == postprocess.NAME)
    for name, item in options(UpscaleSettings).items():
        if item.automatic:
            assert script.controls[name].value == ""
            assert script.controls[name].placeholder == "automatic"
            label = shared.opts.data_labels[f"upscale_plus_{name}"]
            assert (label.default, label.component_args["placeholder"]) == ("", "automatic")


def check_automatic_as_0_1_0_kept_it_is_an_empty_field_now(_: Path) -> None:
    labels = dict(shared.opts.data_labels)
    try:
        shared.opts.data.update(upscale_plus_tile=0, upscale_plus_overlap=-1)
        settings_page.add_to_page(lambda: None, lambda: None)
        assert (shared.opts.data["upscale_plus_tile"], shared.opts.data["upscale_plus_overlap"]) == ("", "")
        assert settings_page.usual() == UpscaleSettings()
        shared.opts.data["upscale_plus_tile"] = 256
        settings_page.add_to_page(lambda: None, lambda: None)
        assert settings_page.usual() == UpscaleSettings(tile=256)
    finally:
        shared.opts.data["upscale_plus_tile"] = ""
        shared.opts.data_labels.update(labels)


def check_settings_are_on_the_page_and_apply_at_once(data: Path) -> None:
    folder = data / "elsewhere"
    folder.mkdir(exist_ok=True)
    shutil.copy(data / "models" / "ESRGAN" / f"{NEAREST}.pth", folder / "2x_Elsewhere.pth")
    shared.opts.set("upscale_plus_folders", str(folder))
    assert entry("2x_Elsewhere").scale == 2
    shared.opts.set("upscale_plus_take_over", False)
    assert not isinstance(entry(NEAREST).scaler, registry.Scaler)
    shared.opts.set("upscale_plus_take_over", True)
    assert isinstance(entry(NEAREST).scaler, registry.Scaler)
    shared.opts.set("upscale_plus_folders", "")


def check_nothing_listens_to_a_change_of_html(_: Path) -> None:
    """gradio 4's HTML changes whenever it is drawn: a page that listens to it never comes to rest."""
    for canvases in (False, True):
        config = _img2img_page(canvases=canvases)
        types = {component["id"]: component for component in config["components"]}
        # The page itself is a target too, of what runs when it is loaded, and no component.
        targets = [target[0] for event in config["dependencies"] for target in _targets(event)]
        heard = [types[target] for target in targets if target in types]
        assert not [component for component in heard if component["type"] == "html"]
        ids = {component["props"].get("elem_id") for component in heard}
        expected = {f"image of {name}" if canvases else name for name in (*_IMAGES, "img2img_image")}
        assert ids >= expected | {"generation_info_img2img", "img2img_steps"}, ids


def check_javascript_of_an_event_answers_with_as_many_values_as_there_are_inputs(_: Path) -> None:
    """gradio 4 moves all values by one place otherwise."""
    events = [event for event in _img2img_page(canvases=True)["dependencies"] if event.get("js")]
    assert len(events) > 20
    node = shutil.which("node")
    assert node, "node runs the page's code here"
    page = "globalThis.document = {querySelector: () => null};"
    calls = [
        f"({event['js']})(...Array({len(event['inputs'])}).fill('in'), ...Array({len(event['outputs'])}).fill('out'))"
        for event in events
    ]
    code = f"{page} Promise.all([{','.join(calls)}]).then(all => console.log(JSON.stringify(all)))"
    answers = json.loads(subprocess.run([node, "-e", code], capture_output=True, check=True, text=True).stdout)
    for event, answer in zip(events, answers, strict=True):
        assert len(answer) == len(event["inputs"]), (len(answer), len(event["inputs"]))
        assert not answer or answer[1] == "", "no tab is open"
        assert set(answer) <= {"in", ""}


def check_one_event_alone_asks_for_the_line(_: Path) -> None:
    """gradio 3 drops an event whose function still runs, and answers of several events come in any order."""
    config = _img2img_page(canvases=False)
    types = {component["id"]: component["props"].get("elem_id") for component in config["components"]}
    line = next(key for key, elem_id in types.items() if elem_id == "upscale_plus_redraw_plan")
    asking = [event for event in config["dependencies"] if line in event["outputs"]]
    assert [types[target[0]] for event in asking for target in _targets(event)] == ["upscale_plus_redraw_ask"]


_IMAGES = ("img2img_sketch", "img2maskimg", "inpaint_sketch")


def check_the_script_runs_where_only_the_api_has_no_controls(_: Path) -> None:
    """The host builds a script's controls once for the page and once for its API."""

    def fail(_: Any) -> None:
        raise RuntimeError("broken for a test")

    def run(callbacks: SdUpscalePlusCallbacks) -> str:
        try:
            return str(callbacks.run(SimpleNamespace(), [None] * len(FIELDS)))
        except UpscalePlusError as error:
            return str(error)

    on_page, nowhere = SdUpscalePlusCallbacks(), SdUpscalePlusCallbacks()
    with gr.Blocks():
        assert on_page.build_controls(SimpleNamespace())
        with replaced(RedrawPage, "build", fail):
            assert on_page.build_controls(SimpleNamespace()) == nowhere.build_controls(SimpleNamespace()) == []
    with replaced(job, "run", lambda *_: "ran"):
        assert run(on_page) == "ran"
        assert "could not be made" in run(nowhere)


def _img2img_page(*, canvases: bool) -> dict[str, Any]:
    """Our events on a page like the host's img2img, with gradio's images or Forge's canvases."""
    callbacks = SdUpscalePlusCallbacks()

    def add(component: Any) -> None:
        callbacks.after_component(component, elem_id=component.elem_id)

    with gr.Blocks() as demo:
        for name in ("img2img_image", *_IMAGES):
            if canvases:
                add(gr.HTML("", elem_id=name))
                add(gr.Textbox(visible=False, elem_id="mask", elem_classes=["logical_image_foreground"]))
                add(gr.Textbox(visible=False, elem_id=f"image of {name}", elem_classes=["logical_image_background"]))
            else:
                add(gr.Image(type="pil", elem_id=name))
        add(gr.Slider(1, 150, 20, elem_id="img2img_steps"))
        callbacks.build_controls(SimpleNamespace())
        add(gr.HTML(elem_id="html_info_img2img"))
        add(gr.Textbox(visible=False, elem_id="generation_info_img2img"))
    return demo.get_config_file()


def _targets(event: dict[str, Any]) -> list[Any]:
    """The pairs of a component's id and an event's name of one dependency, as either gradio has them."""
    if event["targets"] and event.get("trigger") is not None and not isinstance(event["targets"][0], (list, tuple)):
        return [(key, event["trigger"]) for key in event["targets"]]
    return [target for target in event["targets"] if target[0] is not None]
