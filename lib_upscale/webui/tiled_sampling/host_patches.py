"""What the host does for every generation and must not do for every tile: previews, params.txt, copies of inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lib_upscale.webui.host import environment
from lib_upscale.webui.host.patching import option_set, replaced
from lib_upscale.webui.host.sampling import samplers_module

__all__ = ["first_checkpoint_is", "quiet_host"]


@contextmanager
def quiet_host() -> Iterator[None]:
    """Generations are tiles of one image while this lasts; afterwards the host is as it was."""
    state = environment.state()
    with ExitStack() as stack:
        # The preview is the canvas: the host would decode the latent of a tile and show that.
        for name in ("set_current_image", "do_set_current_image", "assign_current_image"):
            stack.enter_context(replaced(state, name, lambda *_: None))
        stack.enter_context(replaced(samplers_module(), "store_latent", lambda *_: None))
        stack.enter_context(replaced(environment.cmd_opts(), "no_prompt_history", True))
        if environment.option("save_init_img", False):
            stack.enter_context(option_set("save_init_img", False))
        yield


@contextmanager
def first_checkpoint_is(title: str) -> Iterator[None]:
    """Generations find that checkpoint chosen while this lasts, and so don't load the one of the settings again."""
    with option_set("sd_model_checkpoint", title):
        yield
