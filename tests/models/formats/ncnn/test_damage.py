"""ncnn pairs that are incomplete, cut off or made up: an error that says so, never anything else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.SPAN import SPAN

from lib_upscale.errors import DamagedFileError, ModelFileError, NotAnUpscalerError
from lib_upscale.models.formats.ncnn.param_file import MAX_TEXT
from lib_upscale.models.formats.ncnn.reader import read_ncnn
from tests.models.formats.ncnn.reference import TOLERANCE, NcnnRefusesError, difference
from tests.models.formats.ncnn.writer import Pair, compact_pair, esrgan_pair, randomized, span_pair

FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FUZZ_COMPUTED = settings(FUZZ, max_examples=25)  # where what is not refused is computed, by ncnn and by us
MEAN = (0.4488, 0.4371, 0.4040)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Pictures of a few pixels gain nothing from more threads, and lose where others compute as well."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _pairs() -> list[tuple[bytes, bytes]]:
    compact = randomized(Compact(num_in_ch=3, num_out_ch=3, num_feat=4, num_conv=1, upscale=2))
    esrgan = randomized(ESRGAN(in_nc=12, out_nc=3, num_filters=4, num_blocks=1, scale=4, shuffle_factor=2))
    span = randomized(SPAN(num_in_ch=3, num_out_ch=3, feature_channels=4, upscale=2))
    pairs = [
        compact_pair(compact, Pair(), resize=0.5),
        esrgan_pair(esrgan, Pair(half=False)),
        span_pair(span, Pair(pnnx=True), MEAN),
    ]
    return [(pair.text().encode(), b"".join(data for *_, data in pair.operations)) for pair in pairs]


PAIRS = _pairs()


def put(folder: Path, text: bytes, weights: bytes) -> Path:
    param = folder / "net.param"
    param.write_bytes(text)
    param.with_suffix(".bin").write_bytes(weights)
    return param


def read_or_refuse(param: Path) -> ModelFileError | None:
    """The error of reading and loading, None where both work. What is promised must be what is loaded."""
    refusal = None
    try:
        checkpoint = read_ncnn(param)
        tensors = checkpoint.load()
    except ModelFileError as error:
        refusal = error
    if refusal is not None:
        message = str(refusal)
        assert message.startswith("net.param ")
        assert message.isprintable()
        assert len(message) < 600
        return refusal
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        name: info.shape for name, info in checkpoint.tensors.items()
    }
    return None


def refuse_or_compute(param: Path) -> None:
    """Whatever is not refused computes what ncnn computes."""
    if read_or_refuse(param) is None:
        with contextlib.suppress(NcnnRefusesError):
            assert difference(param, torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1))) <= TOLERANCE


def test_without_its_bin_a_pair_says_which_file_is_missing(tmp_path: Path) -> None:
    param = put(tmp_path, *PAIRS[0])
    param.with_suffix(".bin").unlink()
    with pytest.raises(DamagedFileError, match=r"net\.bin") as caught:
        read_ncnn(param)
    assert "same folder" in caught.value.advice


@FUZZ
@given(which=st.integers(0, 2), share=st.floats(0, 1, exclude_max=True))
@example(which=0, share=0.0)
def test_a_bin_that_is_cut_off_is_damaged(tmp_path: Path, which: int, share: float) -> None:
    text, weights = PAIRS[which]
    param = put(tmp_path, text, weights[: int(share * len(weights))])
    with pytest.raises(DamagedFileError, match=r"\.bin file"):
        read_ncnn(param)


def test_a_bin_that_is_too_long_belongs_to_something_else(tmp_path: Path) -> None:
    for text, weights in PAIRS:
        with pytest.raises(DamagedFileError, match=r"\.bin file"):
            read_ncnn(put(tmp_path, text, weights + bytes(4)))


def test_a_web_page_saved_as_the_bin_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError):
        read_ncnn(put(tmp_path, PAIRS[0][0], b"<!DOCTYPE html><html>Not found</html>" * 9))


@pytest.mark.parametrize("action", ["shorten", "remove"])
def test_a_bin_that_changes_before_it_is_loaded_is_damaged(tmp_path: Path, action: str) -> None:
    param = put(tmp_path, *PAIRS[0])
    checkpoint = read_ncnn(param)
    if action == "shorten":
        os.truncate(param.with_suffix(".bin"), 100)
    else:
        param.with_suffix(".bin").unlink()
    with pytest.raises(DamagedFileError):
        checkpoint.load()


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_bin_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    param = put(tmp_path, *PAIRS[0])
    param.with_suffix(".bin").chmod(0)
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_ncnn(param)


@FUZZ
@given(which=st.integers(0, 2), share=st.floats(0, 1, exclude_max=True))
def test_a_text_that_is_cut_off_is_refused(tmp_path: Path, which: int, share: float) -> None:
    text, weights = PAIRS[which]
    cut = text.rstrip()[: int(share * len(text.rstrip()))]
    assert read_or_refuse(put(tmp_path, b"7767517\n" + cut[8:], weights)) is not None


HOSTILE = [
    b"99999999999999999999",
    b"-1",
    b"0",
    b"1e999",
    b"nan",
    b"2147483647",
    b"65536",
    b"",
    b"=",
    b"-23310=9,1",
    b"7",
]


@FUZZ
@given(which=st.integers(0, 2), data=st.data())
def test_any_word_of_the_text_may_be_anything(tmp_path: Path, which: int, data: st.DataObject) -> None:
    text, weights = PAIRS[which]
    words = text.split(b" ")
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(words) - 1))
        key, equals, _ = words[place].partition(b"=")
        value = data.draw(st.sampled_from(HOSTILE) | st.binary(max_size=6))
        words[place] = key + equals + value if equals and data.draw(st.booleans()) else value
    refuse_or_compute(put(tmp_path, b"7767517\n" + b" ".join(words)[8:], weights))


@FUZZ_COMPUTED
@given(which=st.integers(0, 2), data=st.data(), key=st.integers(0, 22), value=st.integers(-2, 4))
def test_any_layer_may_have_any_setting(tmp_path: Path, which: int, data: st.DataObject, key: int, value: int) -> None:
    text, weights = PAIRS[which]
    lines = text.split(b"\n")
    place = data.draw(st.integers(2, len(lines) - 2))
    lines[place] += b" %d=%d" % (key, value)
    refuse_or_compute(put(tmp_path, b"\n".join(lines), weights))


@FUZZ_COMPUTED
@given(which=st.integers(0, 2), data=st.data())
def test_lines_may_be_lost_doubled_or_swapped(tmp_path: Path, which: int, data: st.DataObject) -> None:
    text, weights = PAIRS[which]
    head, *lines = text.split(b"\n")[1:-1]
    a, b = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    how = data.draw(st.sampled_from(["lose", "double", "swap"]))
    if how == "lose":
        del lines[a]
    elif how == "double":
        lines.insert(b, lines[a])
    else:
        lines[a], lines[b] = lines[b], lines[a]
    header = b"%d %d" % (len(lines), int(head.split()[1]))
    refuse_or_compute(put(tmp_path, b"\n".join([b"7767517", header, *lines]), weights))


@FUZZ
@given(which=st.integers(0, 2), place=st.floats(0, 1, exclude_max=True), junk=st.binary(min_size=1, max_size=8))
def test_any_byte_of_the_bin_may_be_anything(tmp_path: Path, which: int, place: float, junk: bytes) -> None:
    text, weights = PAIRS[which]
    at = int(place * (len(weights) - len(junk)))
    param = put(tmp_path, text, weights[:at] + junk + weights[at + len(junk) :])
    error = read_or_refuse(param)
    assert error is None or isinstance(error, (DamagedFileError, NotAnUpscalerError))


@pytest.mark.parametrize(
    "text",
    [
        b"7767517\n",
        b"7767517\n1\n",
        b"7767517\n0 0\n",
        b"7767517\n2000000000 2\nInput a 0 1 a\n",
        b"7767517\n2 2\nInput a 0 1 a\n",
        b"7767517\n2 2\nInput a 0 1 a\nSplit b 1 2000000000 a\n",
        b"7767517\n2 2\nInput a 0 1 a\nSigmoid b 1 1 c d\n",
        b"7767517\n2 2\nInput a 0 1 a\nSigmoid b 1 1 a a\n",
        b"7767517\n2 2\nInput a 0 1 a\nConvolution c 1 1 a b 0=64 1=3 4=1 5=1 6=1000\n",
        b"7767517\n2 2\nInput a 0 1 a\nConvolution c 1 1 a b 0=2147483647 1=3 4=1 5=1 6=2147483647\n",
        b"7767517\n2 2\nInput a 0 1 a\nConvolution c 1 1 a b 0=64 1=0 4=1 5=1 6=1728\n",
        b"7767517\n2 2\nInput a 0 1 a\nConvolution c 1 1 a b what\n",
        b"7767517\n" + b"9" * (MAX_TEXT + 1),
    ],
)
def test_a_text_that_contradicts_itself_is_damaged(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(DamagedFileError, match="damaged ncnn graph"):
        read_ncnn(put(tmp_path, text, b""))


def test_weights_that_do_not_fit_each_other_are_damaged(tmp_path: Path) -> None:
    text, weights = PAIRS[0]
    assert b"6=144" in text  # 4 channels from 4
    with pytest.raises(DamagedFileError, match="weights for 8 channels and gets 4"):
        read_ncnn(put(tmp_path, text.replace(b"6=144", b"6=288"), weights))
