"""An extension for the tests: keeps what the base model and ControlNet's models are given, call by call.

POST /recorder/take writes it into the data folder as `recorded.npz`, forgets it, and answers with what each call was.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import numpy as np
import torch
from modules import paths, script_callbacks

calls = []
arrays = {}


def note(kind, named, **told):
    """Keep the tensors of one call, and what is told of it."""
    number = len(calls)
    calls.append({"kind": kind, **told})
    for name, value in named.items():
        if isinstance(value, torch.Tensor):
            arrays[f"{number}/{name}"] = value.detach().float().cpu().numpy().copy()


def watch_base_model(sd_model):
    """The base model, whatever another extension puts in place of its `forward`."""
    objects = getattr(sd_model, "forge_objects", None)
    network = (sd_model if objects is None else objects.unet).model.diffusion_model

    def before(module, arguments, named):
        known = dict(zip(("x", "timesteps", "context"), arguments, strict=False), **named)
        hypertiles = [getattr(layer, "__webui_hypertile_params", None) for layer in module.modules()]
        aspects = {found.aspect_ratio for found in hypertiles if found is not None and found.enabled}
        note("base", {name: known.get(name) for name in ("x", "context", "y")}, aspects=sorted(aspects))

    # WebUI 1.10 puts a LoRA into a layer when the layer is called.
    def after(module, arguments, output):
        last = next(call for call in reversed(calls) if call["kind"] == "base")
        last["networks"] = sorted(networks_of(sd_model, module))

    network.register_forward_pre_hook(before, with_kwargs=True)
    network.register_forward_hook(after)


def networks_of(sd_model, module):
    """The names of the LoRAs that a base model computes with; the Forge family keeps them as text on the model."""
    known = getattr(sd_model, "current_lora_hash", None)
    if known is not None:
        return {Path(filename).stem for filename, *_ in ast.literal_eval(known)}
    return {name for layer in module.modules() for name, *_ in getattr(layer, "network_current_names", ())}


def watch_controls():
    """The classes of ControlNet's models: sd-webui-controlnet's, or those of the Forge family."""
    for module in ("backend.nn.cnets.cldm", "ldm_patched.controlnet.cldm"):
        watch(module, "ControlNet", "forward", "control", ("x", "hint", "context"))
    watch("scripts.cldm", "PlugableControlModel", "forward", "control", ("x", "hint", "context"))
    watch("scripts.adapter", "Adapter", "forward", "adapter", ("hint",))
    watch("scripts.hook", "UnetHook", "call_vae_using_process", "encoded", ("p", "hint"))
    guess = sys.modules.get("scripts.controlnet_model_guess")
    if guess is not None:
        guess.controlnet_default_config["model_channels"] = 32  # it tells every other size from the weights


def watch(module, owner, function, kind, names):
    """Note the calls of one function of a class; `names` are those of its arguments after `self`."""
    found = getattr(sys.modules.get(module), owner, None)
    if found is None:
        return
    is_static = isinstance(vars(found)[function], staticmethod)
    original = getattr(found, function)

    def noted(*arguments, **named):
        given = arguments if is_static else arguments[1:]
        note(kind, {**dict(zip(names, given, strict=False)), **{name: named[name] for name in names if name in named}})
        return original(*arguments, **named)

    setattr(found, function, staticmethod(noted) if is_static else noted)


def started(_, app):
    watch_controls()

    def take():
        told = list(calls)
        np.savez(Path(paths.data_path) / "recorded.npz", **arrays)
        calls.clear()
        arrays.clear()
        return told

    app.add_api_route("/recorder/take", take, methods=["POST"])


script_callbacks.on_model_loaded(watch_base_model)
script_callbacks.on_app_started(started)
