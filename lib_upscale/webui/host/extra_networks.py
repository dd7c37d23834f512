"""LoRAs and other networks that prompts name, for a part of an image that has others than the rest."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from typing_extensions import override

from lib_upscale.webui.host import environment
from lib_upscale.webui.host.model import loaded_model
from lib_upscale.webui.host.patching import option_set, replaced
from lib_upscale.webui.host.protocols import HostForgeObjects, HostModel, HostProcessing, HostTxt2Img

__all__ = ["NetworkSwitch", "can_switch", "image_prompt", "network_switch", "second_prompt", "without_networks"]

_IN_MEMORY = 100
"""LoRAs that AUTOMATIC1111's keeps while it switches between them; its default would read each anew every time."""


class NetworkSwitch(ABC):
    """Changes which networks the loaded model has, in the course of one sampling. "" stands for the image's own."""

    @abstractmethod
    def encoding(self, prompt: str) -> AbstractContextManager[None]:
        """A context in which the text encoder has the networks that `prompt` names."""

    @abstractmethod
    def use(self, prompt: str) -> None:
        """Have the UNet use the networks that `prompt` names from now on."""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """A context after which the UNet has the image's own again."""
        try:
            yield
        finally:
            self.use("")


def without_networks(prompt: str) -> str:
    """The prompt as the text encoder is given it."""
    from modules import extra_networks

    return str(extra_networks.parse_prompt(prompt)[0])


def image_prompt(p: HostProcessing) -> str:
    """The prompt of the image that `p` is about to sample, with the networks that it names."""
    current = getattr(p, "prompts", None)  # not there for parameters that the host has not set up
    return _in_use(p.all_prompts[p.iteration], current[0] if current else None, getattr(p, "extra_network_data", None))


def second_prompt(p: HostTxt2Img, number: int) -> str:
    """The prompt of image `number` of the batch in hires fix's second pass, with the networks that it names."""
    whole = p.all_hr_prompts[p.iteration * p.batch_size + number]
    return _in_use(whole, p.hr_prompts[number], p.hr_extra_network_data)


def _in_use(whole: str, current: str | None, networks: Mapping[str, Sequence[Any]] | None) -> str:
    """`whole`, unless a script has changed it for the batch, which has `current` and the `networks` apart from it."""
    if current is None or current == without_networks(whole):
        return whole
    named = [f"<{kind}:{':'.join(map(str, one.items))}>" for kind, all_ in (networks or {}).items() for one in all_]
    return "".join([current, *named])


def can_switch() -> bool:
    """Whether this host can do it: reForge and Forge Classic put networks into the weights for a whole sampling."""
    return environment.host_kind() is not environment.HostKind.REFORGE


def network_switch(p: HostProcessing) -> NetworkSwitch:
    """One for the generation `p`, whose own networks are active."""
    is_forge = environment.forge_objects(p.sd_model) is not None
    return _PatcherSwitch(p) if is_forge else _ActivationSwitch(p)


def _activate(p: HostProcessing, networks: object) -> None:
    """Have the host activate networks without a trace on the image's parameters, and without its scripts."""
    from modules import devices, extra_networks

    quiet = copy.copy(p)
    quiet.scripts_value = None
    quiet.extra_generation_params = {}
    vars(quiet)["lora_hashes"] = {}
    with devices.autocast():
        extra_networks.activate(quiet, copy.deepcopy(networks))


def _networks_of(prompt: str) -> object:
    from modules import extra_networks

    return extra_networks.parse_prompt(prompt)[1]


class _ActivationSwitch(NetworkSwitch):
    """AUTOMATIC1111's layers ask before every use which networks are active, and change their weights then."""

    def __init__(self, p: HostProcessing) -> None:
        self._p, self._current = p, ""

    @override
    @contextmanager
    def encoding(self, prompt: str) -> Iterator[None]:
        with self.kept():
            self.use(prompt)
            yield

    @override
    def use(self, prompt: str) -> None:
        if prompt == self._current:
            return
        self._current = prompt
        with option_set("lora_in_memory_limit", _IN_MEMORY):
            _activate(self._p, _networks_of(prompt) if prompt else self._own())

    def _own(self) -> object:
        is_second = getattr(self._p, "is_hr_pass", False)
        return getattr(self._p, "hr_extra_network_data" if is_second else "extra_network_data")


class _PatcherSwitch(NetworkSwitch):
    """Forge's patchers have networks as patches, which go into the weights that all of them share."""

    def __init__(self, p: HostProcessing) -> None:
        self._p = p
        self._known: dict[tuple[int, str], HostForgeObjects] = {}

    @override
    @contextmanager
    def encoding(self, prompt: str) -> Iterator[None]:
        objects = self._objects("")
        with replaced(objects, "clip", self._objects(prompt).clip):
            yield

    @override
    def use(self, prompt: str) -> None:
        self._objects(prompt).unet.refresh_loras()

    def _objects(self, prompt: str) -> HostForgeObjects:
        """Those with the networks that `prompt` names, made once for each loaded model."""
        model = loaded_model()
        own = environment.forge_objects(model)
        assert own is not None
        if not prompt:
            return own
        key = (id(model), prompt)
        if key not in self._known:
            self._known[key] = self._make(model, prompt)
        return self._known[key]

    def _make(self, model: HostModel, prompt: str) -> HostForgeObjects:
        with ExitStack() as stack:
            # The host puts the networks on these, and nothing where it believes to have done so already.
            for name in ("forge_objects", "forge_objects_after_applying_lora"):
                stack.enter_context(replaced(model, name, model.forge_objects_original.shallow_copy()))
            stack.enter_context(replaced(model, "current_lora_hash", None))
            _activate(self._p, _networks_of(prompt))
            objects = environment.forge_objects(model)
            assert objects is not None
            return objects
