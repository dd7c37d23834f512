"""What the model is conditioned on for each tile under the joint method: its own prompt, and SDXL's crop and size."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from lib_upscale.redrawing.latent import LatentTile, with_tile_coordinates
from lib_upscale.spread import ceil_div
from lib_upscale.webui.host.extra_networks import NetworkSwitch

__all__ = ["NONE", "Encoded", "Side", "TileConditioning"]

_TEXTS = ("crossattn", "c_crossattn")
_VECTORS = ("vector", "y")
"""What hosts call the same two things."""
_MARK = 1024.0
"""sd-webui-controlnet puts a token of it, or of its negative, before each prompt: off it comes if all rows have one."""


class Side(Enum):
    """What a row of a batch is for."""

    PROMPT = "prompt"
    NEGATIVE = "negative"
    OTHER = "other"
    """A part of a prompt of several parts (AND), which stays as it is."""


@dataclass(frozen=True)
class Encoded:
    """A prompt as the model takes it."""

    text: Tensor
    """(tokens, channels)"""
    pooled: Tensor | None = None
    """SDXL's: (numbers)"""


@dataclass(frozen=True)
class TileConditioning:
    """The conditioning of tiles, made from that of the whole image."""

    prompts: Mapping[int, str] = field(default_factory=dict)
    """Number of a tile -> its prompt; tiles that are not in it have the image's."""
    encode: Callable[[str, int, Side], Encoded] | None = None
    """(prompt, step, side) -> what the host's text encoder makes of it, or of the negative prompt with its networks."""
    pad: Callable[[], Tensor] | None = None
    """The encoded empty prompt, (tokens, channels), with which the host makes prompts equally long."""
    switch: NetworkSwitch | None = None
    """Changes the UNet's networks (LoRAs), where a prompt names any."""
    networked: frozenset[str] = frozenset()
    """The prompts that do."""

    def use_networks(self, tiles: Sequence[LatentTile]) -> None:
        """Have the UNet use the networks of a batch of tiles, of one `group`."""
        if self.switch is not None:
            prompt = "" if tiles[0].is_whole else self.prompts.get(tiles[0].index, "")
            self.switch.use(prompt if prompt in self.networked else "")

    def own_networks_after(self) -> AbstractContextManager[None]:
        """A context after which the UNet has the image's own networks again."""
        return nullcontext() if self.switch is None else self.switch.kept()

    def group(self, tile: LatentTile) -> Hashable:
        """Tiles of one prompt may share a batch: texts in it must be of one length."""
        return self.prompts.get(tile.index)

    def of_tiles(
        self, cond: Mapping[str, Any], tiles: Sequence[LatentTile], sides: Sequence[Side], step: int
    ) -> dict[str, Any]:
        """The conditioning of a batch of tiles.

        Args:
            cond: The host's, cut to the tiles: for each tile a row for each of `sides`.
            tiles: The tiles, of one `group`.
            sides: What the rows of a tile are for.
            step: The step of the sampler, from 0.
        """
        changed = dict(cond)
        for name in _VECTORS:
            if isinstance(changed.get(name), Tensor):
                rows = changed[name].chunk(len(tiles))
                changed[name] = torch.cat(
                    [with_tile_coordinates(row, tile.pixels) for row, tile in zip(rows, tiles, strict=True)]
                )
        prompt = self.prompts.get(tiles[0].index)  # one for all of the batch: see `group`
        if prompt is None or self.encode is None:
            return changed
        # Networks change how the negative prompt is understood, too.
        for side in (Side.PROMPT, Side.NEGATIVE) if prompt in self.networked else (Side.PROMPT,):
            if side in sides:
                chosen = [other is side for other in sides] * len(tiles)
                changed = self._replace(changed, self.encode(prompt, step, side), chosen)
        return changed

    def _replace(self, cond: Mapping[str, Any], encoded: Encoded, chosen: Sequence[bool]) -> dict[str, Any]:
        changed = dict(cond)
        for name in _TEXTS:
            if name in changed:
                is_list = isinstance(changed[name], list)
                text = self._replace_rows(changed[name][0] if is_list else changed[name], encoded.text, chosen)
                changed[name] = [text] if is_list else text
        return {name: _replace_pooled(value, name, encoded, chosen) for name, value in changed.items()}

    def _replace_rows(self, rows: Tensor, text: Tensor, chosen: Sequence[bool]) -> Tensor:
        """`rows` (rows, tokens, channels) with those chosen replaced; the shorter is filled up."""
        first = rows[list(chosen).index(True), :1]
        if bool(((first.abs() - _MARK).abs() < 1).all()):
            text = torch.cat([first, text.to(rows)])
        longest = max(rows.shape[1], len(text))
        new = self._fill(text.to(rows)[None], longest)[0]
        changed = self._fill(rows, longest).clone()
        changed[torch.tensor(chosen, device=rows.device)] = new
        return changed

    def _fill(self, rows: Tensor, tokens: int) -> Tensor:
        missing = tokens - rows.shape[1]
        if missing <= 0:
            return rows
        empty = self.pad().to(rows) if self.pad is not None else rows[0]
        filling = empty.repeat(ceil_div(missing, len(empty)), 1)[:missing]
        return torch.cat([rows, filling.expand(len(rows), *filling.shape)], dim=1)


def _replace_pooled(value: object, name: str, encoded: Encoded, chosen: Sequence[bool]) -> object:
    """SDXL's pooled text stands at the beginning of the vector."""
    if name not in _VECTORS or encoded.pooled is None or not isinstance(value, Tensor):
        return value
    changed = value.clone()
    count = min(len(encoded.pooled), changed.shape[1])
    changed[torch.tensor(chosen, device=changed.device), :count] = encoded.pooled[:count].to(changed)
    return changed


NONE = TileConditioning()
"""Every tile has the whole image's prompt; SDXL is conditioned on where it lies."""
