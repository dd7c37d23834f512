"""The models of this WebUI while they are loaded, and the one way that images are upscaled with them."""

from __future__ import annotations

import threading
from collections import Counter

from PIL import Image

from lib_upscale.image.geometry import Size
from lib_upscale.image.picture import Picture
from lib_upscale.models.library import Models
from lib_upscale.models.runtime.measurements import MeasurementStore
from lib_upscale.models.runtime.model_cache import ModelCache
from lib_upscale.progress import SILENT, Progress
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.upscaling.plan import UpscalePlan, complete_plan, plan_upscale, recall_plan
from lib_upscale.upscaling.run import UpscaleResult, plan_and_upscale
from lib_upscale.webui.host import environment, jobs
from lib_upscale.webui.host.model import give_memory_back, make_room, upscaler_device
from lib_upscale.webui.upscalers import settings_page
from lib_upscale.webui.upscalers.model_list import ModelList
from lib_upscale.webui.upscalers.plan_worker import PlanWorker

__all__ = ["Engine", "engine", "model_list"]

_PATIENCE = 0.7
"""Seconds that a plan waits for models to be loaded and measured."""

_IDLE = 20.0
"""Seconds for which a model stays on a graphics card for a next plan or image that may come."""


class Engine:
    """Plans and upscales with the models of a list."""

    def __init__(self, model_list: ModelList) -> None:
        self._list = model_list
        self._lock = threading.RLock()
        self._model_cache: ModelCache | None = None
        self._timer: threading.Timer | None = None
        self._worker = PlanWorker(self._load_for, jobs.is_busy)
        self._working = 0
        self._batches: Counter[str] = Counter()
        self._done: Counter[str] = Counter()

    @property
    def models(self) -> Models:
        """What the library is given."""
        with self._lock:
            if self._model_cache is None:
                store = MeasurementStore(environment.cache_path() / "notes.json")
                self._model_cache = ModelCache(
                    upscaler_device(), max_models=settings_page.most_models(), measurements=store
                )
            return Models(self._list.catalog, self._model_cache)

    def plan(self, size: Size, settings: UpscaleSettings) -> UpscalePlan:
        """Return what would be done, within a second.

        What is known of the models is not loaded again. The rest is loaded and measured in the background, unless a
        job is running, which needs the memory: the plan is not complete then, and asked for again it may be.
        """
        plan = recall_plan(self._plan_passes(size, settings), self.models)
        if plan.complete or jobs.is_busy():
            return plan
        return self._worker.ask(plan, _PATIENCE) or plan

    def _load_for(self, plan: UpscalePlan, progress: Progress) -> UpscalePlan:
        try:
            return complete_plan(plan, self.models, progress=progress)
        finally:
            if self.models.cache.device.type != "cpu":
                # A generation that has begun meanwhile needs the memory now, and is none of ours.
                if jobs.is_busy() and not self._working:
                    self.after_job()
                else:
                    self.release_soon()

    def plan_size(self, size: Size, settings: UpscaleSettings) -> Size:
        """Return only the size of the result, without loading anything."""
        return self._plan_passes(size, settings).output

    def work(self, size: Size, settings: UpscaleSettings) -> int:
        """Return the pixels that all networks are given: what time grows with, known without loading anything."""
        return sum(network_pass.input_size.pixels for network_pass in self._plan_passes(size, settings).passes)

    def _plan_passes(self, size: Size, settings: UpscaleSettings) -> UpscalePlan:
        """What would be done but for the tiles."""
        return plan_upscale(size, self._list.with_paths(settings), self.models, load=False)

    def run(self, image: Image.Image, settings: UpscaleSettings, progress: Progress = SILENT) -> Image.Image:
        """Upscale an image of Pillow's. Raises `UpscalePlusError`."""
        return self.upscale(Picture.from_pil(image), settings, progress).picture.to_pil()

    def upscale(self, picture: Picture, settings: UpscaleSettings, progress: Progress = SILENT) -> UpscaleResult:
        """Make room for the models, plan and upscale. Raises `UpscalePlusError`."""
        make_room()
        self._working += 1
        try:
            return plan_and_upscale(picture, self._list.with_paths(settings), self.models, progress)
        finally:
            self._working -= 1

    def begin_generation(self, **batches: int) -> None:
        """A generation of the host begins, which needs the memory of models that were loaded for a plan.

        Args:
            batches: For each of the generation's steps that upscale, how many images it has, one after the other.
        """
        with self._lock:
            self._done.clear()
            self._batches = Counter(batches)
            if self._timer is not None:
                self.after_job()

    def after_image(self, step: str) -> None:
        """Release the models after the last image of a batch in a step of a generation, unless they are to be kept."""
        with self._lock:
            self._done[step] += 1
            if self._done[step] % max(1, self._batches[step]):
                self.release_soon()
            else:
                self.after_job()

    def after_job(self) -> None:
        """Release the models, unless they are to be kept."""
        with self._lock:
            self._cancel_timer()
            if not settings_page.keeps_models():
                self._release()

    def forget(self) -> None:
        """Release the models and forget how they are kept, as after a change of the settings that say so."""
        self._worker.forget()
        with self._lock:
            self._cancel_timer()
            self._release()
            self._model_cache = None

    def _release(self) -> None:
        if self._model_cache is not None:
            self._model_cache.clear()
            give_memory_back()

    def release_soon(self) -> None:
        """Release the models when nothing has come for a while: a slider asks for a plan at each step."""
        with self._lock:
            self._cancel_timer()
            self._timer = threading.Timer(_IDLE, self._release_unless_working)
            self._timer.daemon = True
            self._timer.start()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _release_unless_working(self) -> None:
        if self._working:
            self.release_soon()
        else:
            self.after_job()


model_list = ModelList()
engine = Engine(model_list)
"""The only one of this process."""
