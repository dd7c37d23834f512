"""The CPU."""

import torch

device_esrgan = torch.device("cpu")


def get_device_for(task):
    """Where a kind of network runs."""
    return device_esrgan


def torch_gc():
    """Give memory back."""
