"""What the host does for every generation and must not do for every tile: previews, params.txt, copies of inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lib_upscale.webui.host import environment
from lib_upscale.webui.host.model import kept_noise_schedule
from lib_upscale.webui.host.patching import option_set, replaced
from lib_upscale.webui.host.sampling import samplers_module

__all__ = ["quiet_host"]


@contextmanager
def quiet_host() -> Iterator[None]:
    """Generations are tiles of one image while this lasts; afterwards the host is as it was."""
    state = environment.state()
    with ExitStack() as stack:
        stack.enter_context(kept_noise_schedule())
        # The preview is the canvas: the host would decode the latent of a tile and show that.
        for name in ("set_current_image", "do_set_current_image", "assign_current_image"):
            stack.enter_context(replaced(state, name, lambda *_: None))
        stack.enter_context(replaced(samplers_module(), "store_latent", lambda *_: None))
        stack.enter_context(replaced(environment.cmd_opts(), "no_prompt_history", True))
        if environment.option("save_init_img", False):
            stack.enter_context(option_set("save_init_img", False))
        yield
