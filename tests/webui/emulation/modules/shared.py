"""Options, state, and the list of upscalers, which is rebound whenever it is made anew."""

import os
import time

from modules.shared_cmd_options import cmd_opts

sd_upscalers = []


class OptionInfo:
    """A setting's presentation."""

    def __init__(
        self, default=None, label="", component=None, component_args=None, onchange=None, section=None, **more
    ):
        self.default, self.label, self.component, self.component_args = default, label, component, component_args
        self.onchange, self.section = onchange, section
        self.comment_after = ""

    def info(self, text):
        """Small print."""
        self.comment_after += text
        return self


class Options:
    """Values by key; an unknown key is an AttributeError."""

    def __init__(self):
        self.data, self.data_labels = {}, {}

    def __getattr__(self, key):
        if key in self.__dict__["data"]:
            return self.data[key]
        if key in self.__dict__["data_labels"]:
            return self.data_labels[key].default
        raise AttributeError(key)

    def add_option(self, key, info):
        """Known from now on."""
        self.data_labels[key] = info
        self.data.setdefault(key, info.default)

    def set(self, key, value):
        """Change, and tell who wants to know."""
        self.data[key] = value
        if self.data_labels[key].onchange:
            self.data_labels[key].onchange()
        return True


class State:
    """What the host does at the moment."""

    skipped = interrupted = stopping_generation = False
    job, job_no, job_count, sampling_step, sampling_steps, textinfo = "", 0, 0, 0, 0, None

    def begin(self, job="(unknown)"):
        """A job begins."""
        self.job, self.job_no, self.job_count, self.sampling_step = job, 0, -1, 0
        self.skipped = self.interrupted = self.stopping_generation = False
        self.time_start = time.time()

    def end(self):
        """The job is over."""
        self.job, self.job_count = "", 0

    def nextjob(self):
        """The next picture of the job."""
        self.job_no += 1
        self.sampling_step = 0

    def assign_current_image(self, image):
        """For the preview."""


opts, state = Options(), State()
opts.data.update(
    outdir_samples="",
    outdir_extras_samples=os.path.join(cmd_opts.data_dir, "outputs"),
    use_original_name_batch=True,
    enable_pnginfo=True,
    samples_format="png",
    postprocessing_operation_order=[],
    postprocessing_disable_in_extras=[],
)


def listfiles(folder):
    """The files in a folder, by name."""
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    return [path for path in paths if os.path.isfile(path)]
