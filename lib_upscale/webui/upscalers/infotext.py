"""The text that is saved with an upscaled image: how it was made, and by which it is recognized later."""

from __future__ import annotations

import hashlib

from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.upscaling.plan import UpscalePlan
from lib_upscale.webui.host.environment import short_hash
from lib_upscale.webui.upscalers.engine import model_list

__all__ = ["RECIPE_KEY", "create_infotext", "recipe"]

RECIPE_KEY = "Upscale Plus recipe"
"""The infotext key by which a result made with the same settings is recognized."""


def create_infotext(settings: UpscaleSettings, plan: UpscalePlan) -> dict[str, str | float | None]:
    """Describe a result: the settings that differ from their defaults, the model and what was done.

    Args:
        settings: With what it was made.
        plan: What was done.

    Returns:
        Infotext key -> value; None where the host does not compute hashes.
    """
    entries = [network_pass.entry for network_pass in plan.passes]
    main = next((entry for entry in entries if entry.name == settings.model), entries[-1])
    return {
        **settings.to_infotext(),
        "Upscale Plus upscaler": main.name,
        "Upscale Plus model hash": short_hash(main.path),
        "Upscale Plus size": str(plan.output),
        "Upscale Plus tiles": plan.tiles,
        RECIPE_KEY: recipe(settings),
    }


def recipe(settings: UpscaleSettings) -> str:
    """Return a short hash that differs where settings or the files of their models do."""
    fingerprints = [(name, model_list.fingerprint(name)) for name in settings.model_names()]
    return hashlib.sha256(f"{settings.to_json()} {fingerprints}".encode()).hexdigest()[:10]
