"""How long it takes to know what a file is.

    python benchmarks/identify.py [--files 20] [--networks]

First table: container, names, shapes and architecture of files of 67 MB (ESRGAN, 702 tensors), each
kind of file, in milliseconds a file, after imports, files warm in the cache. To reach: 5 for safetensors, 15 for
archives of torch, 1 for telling the architecture, 20 MB of memory besides.
Second table, with --networks: all facts of networks of the sizes that people publish, once a file. To reach: 1.5 s.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import struct
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import conftest  # noqa: E402, F401  (a torchvision for a torch that has none)
import torch  # noqa: E402

from lib_upscale.models.formats.checkpoint import Checkpoint, Container, TensorInfo  # noqa: E402
from lib_upscale.models.formats.reader import read_checkpoint  # noqa: E402
from lib_upscale.models.identification.network_facts import inspect_network, match_architecture  # noqa: E402


def esrgan() -> dict[str, torch.Tensor]:
    from spandrel.architectures.ESRGAN import ESRGAN

    return dict(ESRGAN(in_nc=3, out_nc=3, num_filters=64, num_blocks=23, scale=4).state_dict())


def write_safetensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    entries, position = [], 0
    for name, tensor in tensors.items():
        end = position + tensor.numel() * 4
        entries.append(f'"{name}":{{"dtype":"F32","shape":{list(tensor.shape)},"data_offsets":[{position},{end}]}}')
        position = end
    header = ("{" + ",".join(entries) + "}").encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for tensor in tensors.values():
            file.write(tensor.contiguous().numpy().tobytes())


WRITERS: dict[str, Callable[[dict[str, torch.Tensor], Path], None]] = {
    "safetensors": write_safetensors,
    "zip .pth": lambda tensors, path: torch.save({"params_ema": tensors}, path),
    "old .pth": lambda tensors, path: torch.save(tensors, path, _use_new_zipfile_serialization=False),
}


def milliseconds(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    action()
    return (clock() - start) * 1000


def identify_architecture(path: Path) -> None:
    match = match_architecture(read_checkpoint(path).tensors)
    assert match is not None
    assert match.architecture.id == "ESRGAN"


def measure_files(count: int) -> None:
    tensors = esrgan()
    columns = ("median ms", "best ms", "CPU ms", "detect ms", "extra MB")
    print(f"{'67 MB, 702 tensors':<20}" + "".join(f"{column:>12}" for column in columns))
    for name, write in WRITERS.items():
        with tempfile.TemporaryDirectory() as folder:
            first = Path(folder) / "0.model"
            write(tensors, first)
            paths = [first] + [Path(shutil.copyfile(first, Path(folder) / f"{n}.model")) for n in range(1, count)]
            identify_architecture(first)
            actions = [partial(identify_architecture, path) for path in paths * 3]
            times = [milliseconds(action) for action in actions]
            computed = [milliseconds(action, time.process_time) for action in actions]
            telling = partial(match_architecture, read_checkpoint(first).tensors)
            detect = [milliseconds(telling) for _ in range(30)]
            tracemalloc.start()
            identify_architecture(first)
            peak = tracemalloc.get_traced_memory()[1] / 2**20
            tracemalloc.stop()
        figures = (statistics.median(times), min(times), statistics.median(computed), statistics.median(detect), peak)
        print(f"{name:<20}" + "".join(f"{figure:>12.2f}" for figure in figures))


def published() -> dict[str, Callable[[], torch.nn.Module]]:
    """Constructors of networks as large as the published ones."""
    from spandrel.architectures import ATD, DAT, DRCT, GFPGAN, GRL, HAT, IPT, RGT, SCUNet, Swin2SR, SwinIR
    from spandrel_extra_arches.architectures import DDColor, SRFormer

    six = [6] * 6
    shuffle = {"upscale": 4, "upsampler": "pixelshuffle"}
    swin = {"embed_dim": 180, "depths": six, "num_heads": six, **shuffle}
    real = {"embed_dim": 240, "depths": [6] * 9, "num_heads": [8] * 9, "window_size": 8}
    return {
        "ATD": lambda: ATD.ATD(embed_dim=210, depths=six, num_heads=six, window_size=16, **shuffle),
        "DAT": lambda: DAT.DAT(embed_dim=180, depth=six, num_heads=six, split_size=[8, 32], upscale=4),
        "DDColor large": DDColor.DDColor,
        "DRCT-L": lambda: DRCT.DRCT(embed_dim=180, depths=[6] * 12, num_heads=[6] * 12, window_size=16, **shuffle),
        "GFPGAN": GFPGAN.GFPGAN,
        "GRL base": lambda: GRL.GRL(
            embed_dim=180,
            depths=[4, 4, 8, 8, 8, 4, 4],
            num_heads_window=[3] * 7,
            num_heads_stripe=[3] * 7,
            window_size=32,
            stripe_size=[64, 64],
            **shuffle,
        ),
        "HAT-L": lambda: HAT.HAT(embed_dim=180, depths=[6] * 12, num_heads=[6] * 12, window_size=16, **shuffle),
        "IPT": IPT.IPT,
        "RGT": lambda: RGT.RGT(embed_dim=180, depth=[6] * 8, num_heads=[6] * 8, upscale=4),
        "SCUNet": SCUNet.SCUNet,
        "SRFormer": lambda: SRFormer.SRFormer(**{**swin, "window_size": 24}),
        "Swin2SR": lambda: Swin2SR.Swin2SR(**{**swin, "window_size": 8}),
        "SwinIR-L": lambda: SwinIR.SwinIR(**real, upscale=4, upsampler="nearest+conv", resi_connection="3conv"),
    }


def _choose(state: dict[str, torch.Tensor], names: Iterable[str]) -> dict[str, torch.Tensor]:
    return {name: state[name] for name in names}


def measure_networks() -> None:
    print(f"\n{'network':<20}{'tensors':>12}{'million':>12}{'facts s':>12}")
    for name, construct in published().items():
        state = dict(construct().state_dict())
        infos = {key: TensorInfo(tuple(t.shape), str(t.dtype).removeprefix("torch.")) for key, t in state.items()}
        checkpoint = Checkpoint(Path(name), Container.SAFETENSORS, infos, partial(_choose, state))
        match = match_architecture(infos)
        assert match is not None
        seconds = milliseconds(partial(inspect_network, checkpoint, match)) / 1000
        million = sum(tensor.numel() for tensor in state.values()) / 1e6
        print(f"{name:<20}{len(state):>12}{million:>12.1f}{seconds:>12.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="How long it takes to know what a file is.")
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--networks", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    measure_files(arguments.files)
    if arguments.networks:
        measure_networks()


if __name__ == "__main__":
    main()
