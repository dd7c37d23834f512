"""Recognizes ESRGAN, Compact and SPAN in an ncnn graph, with the tensors that spandrel's network needs.

What is fixed in spandrel's networks (the growth of a dense block, the slope of a LeakyReLU, the mean that SPAN
subtracts) is compared, so that what is loaded computes what ncnn computes.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

from lib_upscale.models.formats.ncnn.graph import MAX_FACTOR, Graph, Op, UnmatchedGraphError
from lib_upscale.models.formats.ncnn.matcher import (
    Constant,
    ConstantTensor,
    GraphMatcher,
    IdentityTensor,
    Network,
    StoredTensor,
    is_close,
)
from lib_upscale.models.formats.ncnn.param_file import DamagedGraphError
from lib_upscale.models.formats.ncnn.weights import WeightKind

__all__ = ["match_network"]

_LEAKY_SLOPE = 0.2
_RESIDUAL_SCALE = 0.2
_GROWTH = 32
_SPAN_BLOCKS = 6
_SPAN_RANGE = 255.0
_SPAN_MEAN = (0.4488, 0.4371, 0.4040)


def match_network(graph: Graph) -> Network:
    """Find the network that a graph is.

    Raises:
        UnmatchedGraphError: It is none; the message says what keeps it from being one.
        DamagedGraphError: It is one, but its weights do not fit each other.
    """
    answers: list[UnmatchedGraphError] = []
    for architecture, match in _NETWORKS.items():
        matcher = GraphMatcher(graph)
        try:
            match(matcher)
        except UnmatchedGraphError as error:
            answers.append(error)
        else:
            return Network(architecture, matcher.tensors, matcher.constants)
    best = max(answers, key=lambda answer: answer.matched)
    if best.matched < 4:
        raise UnmatchedGraphError("its layers are connected in another way")
    raise best


# ESRGAN: Wang et al. 2018, https://arxiv.org/abs/1809.00219; with pixel unshuffle: Real-ESRGAN,
# https://arxiv.org/abs/2107.10833.


def _match_esrgan(matcher: GraphMatcher) -> None:
    unshuffled = matcher.accept(Op.UNSHUFFLE, matcher.input)
    first = matcher.convolution(matcher.input if unshuffled is None else unshuffled, name="conv_first")
    width = matcher.filter(first).outputs
    trunk, blocks = first, 0
    while _starts_dense_block(matcher, trunk):
        trunk = _residual_block(matcher, f"body.{blocks}", trunk, width)
        blocks += 1
    if not blocks:
        raise matcher.mismatch("it has no dense blocks")
    last = matcher.convolution(trunk, inputs=width, outputs=width, name="conv_body")
    value, scale = matcher.expect(Op.ADD, first, last), 1
    for stage in range(1, 5):
        larger = matcher.accept(Op.NEAREST, value)
        if larger is None:
            break
        if not is_close(matcher.node(larger).number, 2):
            raise matcher.mismatch("it enlarges in steps other than 2")
        value, scale = _leaky_convolution(matcher, f"conv_up{stage}", larger, width, width), 2 * scale
    value = _leaky_convolution(matcher, "conv_hr", value, width, width)
    end = matcher.convolution(value, inputs=width, name="conv_last")
    matcher.finish(end)
    _check_unshuffle(matcher, unshuffled, first, end, scale)


def _starts_dense_block(matcher: GraphMatcher, value: int) -> bool:
    convolution = matcher.peek(Op.CONVOLUTION, value)
    return convolution is not None and matcher.peek(Op.LEAKY, convolution) is not None


def _residual_block(matcher: GraphMatcher, name: str, value: int, width: int) -> int:
    inner = value
    for number in (1, 2, 3):
        inner = _dense_block(matcher, f"{name}.rdb{number}", inner, width)
    return _add_scaled(matcher, inner, value)


def _dense_block(matcher: GraphMatcher, name: str, value: int, width: int) -> int:
    features, joined = [value], value
    for number in (1, 2, 3, 4):
        inputs = width + _GROWTH * (number - 1)
        features.append(_leaky_convolution(matcher, f"{name}.conv{number}", joined, inputs, _GROWTH))
        joined = matcher.expect(Op.CONCAT, *features)
    last = matcher.convolution(joined, inputs=width + 4 * _GROWTH, outputs=width, name=f"{name}.conv5")
    return _add_scaled(matcher, last, value)


def _add_scaled(matcher: GraphMatcher, value: int, base: int) -> int:
    return matcher.expect(Op.ADD, matcher.expect(Op.SCALE, value, number=_RESIDUAL_SCALE), base)


def _leaky_convolution(matcher: GraphMatcher, name: str, value: int, inputs: int, outputs: int) -> int:
    convolution = matcher.convolution(value, inputs=inputs, outputs=outputs, name=name)
    return matcher.expect(Op.LEAKY, convolution, number=_LEAKY_SLOPE)


def _check_unshuffle(matcher: GraphMatcher, unshuffled: int | None, first: int, end: int, scale: int) -> None:
    """spandrel infers the unshuffle from the channels; it must come to what the graph says."""
    inputs, outputs = matcher.filter(first).inputs, matcher.filter(end).outputs
    inferred = {4 * outputs: 2, 16 * outputs: 4}.get(inputs, 1)
    factor = 1.0 if unshuffled is None else matcher.node(unshuffled).number
    if factor != inferred or scale < factor:
        raise matcher.mismatch(f"its {inputs} input channels and {outputs} output channels do not go together")


# Compact, or SRVGGNet: https://github.com/xinntao/Real-ESRGAN


def _match_compact(matcher: GraphMatcher) -> None:
    value, place, width, inputs = matcher.input, 0, 0, 0
    while True:
        value = matcher.convolution(value, inputs=width, name=f"body.{place}")
        shape = matcher.filter(value)
        inputs = inputs or shape.inputs
        activated = _record_activation(matcher, f"body.{place + 1}", value)
        if activated is None:
            break
        if width and shape.outputs != width:
            raise matcher.mismatch("its layers are not equally wide")
        value, width, place = activated, shape.outputs, place + 2
    if not place:
        raise matcher.mismatch("it has no activations")
    shuffled = matcher.accept(Op.SHUFFLE, value)
    scale = 1 if shuffled is None else int(matcher.node(shuffled).number)
    if shape.outputs != inputs * scale * scale:
        raise matcher.mismatch(f"its last convolution makes {shape.outputs} channels")
    base = matcher.input if scale == 1 else matcher.expect(Op.NEAREST, matcher.input, number=scale)
    value = matcher.expect(Op.ADD, value if shuffled is None else shuffled, base)
    value = _final_resize(matcher, value, scale)
    matcher.finish(value)


def _record_activation(matcher: GraphMatcher, name: str, value: int) -> int | None:
    """spandrel's Compact has a PReLU; a LeakyReLU is one with equal slopes."""
    shape = (matcher.filter(value).outputs,)
    leaky = matcher.accept(Op.LEAKY, value)
    if leaky is not None:
        matcher.tensors[f"{name}.weight"] = shape, ConstantTensor(matcher.node(leaky).number)
        return leaky
    activated = matcher.accept(Op.PRELU, value)
    if activated is None:
        return None
    node = matcher.node(activated)
    if node.slopes not in (1, shape[0]):
        raise DamagedGraphError(f"the PReLU of '{name}' has {node.slopes} slopes for {shape[0]} channels")
    matcher.tensors[f"{name}.weight"] = shape, StoredTensor(node.layer, WeightKind.SLOPE, (node.slopes,))
    return activated


def _final_resize(matcher: GraphMatcher, value: int, scale: int) -> int:
    """Real-ESRGAN's animevideov3 for 2 and 3 is the one for 4 with a bicubic resize at its end."""
    resized = matcher.accept(Op.BICUBIC, value)
    if resized is None:
        return value
    target = _whole(scale * matcher.node(resized).number)
    if target is None:
        raise matcher.mismatch("it resizes its result to a broken factor")
    matcher.tensors["resized_to"] = (target,), ConstantTensor(0.0)
    return resized


# SPAN: Wan et al. 2023, https://arxiv.org/abs/2311.12770


def _match_span(matcher: GraphMatcher) -> None:
    value, factor = _match_normalization(matcher)
    first = matcher.convolution(value)
    inputs, width = matcher.filter(first).inputs, matcher.filter(first).outputs
    _record_fused(matcher, "conv_1", first, factor)
    block = first
    for number in range(1, _SPAN_BLOCKS + 1):
        block, inner = _attention_block(matcher, f"block_{number}", block, width)
        if number == 1:
            block_1 = block
    last = matcher.convolution(block, inputs=width, outputs=width)
    _record_fused(matcher, "conv_2", last)
    joined = matcher.expect(Op.CONCAT, first, last, block_1, inner)
    value = matcher.convolution(joined, kernel=1, inputs=4 * width, outputs=width, name="conv_cat")
    value = matcher.convolution(value, inputs=width, name="upsampler.0")
    outputs = matcher.filter(value).outputs
    shuffled = matcher.accept(Op.SHUFFLE, value)
    scale = 1 if shuffled is None else int(matcher.node(shuffled).number)
    matcher.finish(value if shuffled is None else shuffled)
    if _inferred_scale(outputs, inputs) != scale:
        raise matcher.mismatch(f"its {inputs} input channels and scale of {scale} do not go together")


def _match_normalization(matcher: GraphMatcher) -> tuple[int, float]:
    """Find what the first convolution gets, and the factor for its weights.

    spandrel either subtracts the mean of DIV2K and multiplies by 255, or does neither. Another range goes into the
    weights. Another mean could not: the image is padded after it was subtracted.
    """
    mean = next((i for i, node in enumerate(matcher.nodes) if node.op is Op.CONSTANT), None)
    if mean is None:
        matcher.tensors["no_norm"] = (1,), ConstantTensor(0.0)
        return matcher.input, 1.0
    if matcher.node(mean).size != (1, 1, 3):
        raise matcher.mismatch("it has a constant that is no color")
    matcher.expect(Op.CONSTANT)
    value = matcher.expect(Op.SUBTRACT, matcher.input, mean)
    matcher.constants.append(Constant(matcher.node(mean).layer, _SPAN_MEAN, "the mean that it subtracts"))
    scaled = matcher.accept(Op.SCALE, value)
    if scaled is None:
        return value, 1 / _SPAN_RANGE
    number = matcher.node(scaled).number
    return scaled, 1.0 if is_close(number, _SPAN_RANGE) else number / _SPAN_RANGE


def _attention_block(matcher: GraphMatcher, name: str, value: int, width: int) -> tuple[int, int]:
    """Match a block: its result, and what its first convolution gives after the activation."""
    inner = value
    activated = []
    for number in (1, 2, 3):
        inner = matcher.convolution(inner, inputs=width, outputs=width)
        _record_fused(matcher, f"{name}.c{number}_r", inner)
        if number < 3:
            inner = _silu(matcher, inner)
            activated.append(inner)
    attention = matcher.expect(Op.OFFSET, matcher.expect(Op.SIGMOID, inner), number=-0.5)
    result = matcher.expect(Op.MULTIPLY, matcher.expect(Op.ADD, inner, value), attention)
    return result, activated[0]


def _silu(matcher: GraphMatcher, value: int) -> int:
    activated = matcher.accept(Op.SILU, value)
    if activated is not None:
        return activated
    return matcher.expect(Op.MULTIPLY, value, matcher.expect(Op.SIGMOID, value))


def _record_fused(matcher: GraphMatcher, name: str, value: int, factor: float = 1.0) -> None:
    """Record a fused convolution as the branches that spandrel fuses at every call.

    `sk` is zero; of the three convolutions in a row the first and the last pass on what they get, and the second is the
    fused one. Their product is exact: it only ever adds zeros.
    """
    shape, layer = matcher.filter(value), matcher.node(value).layer
    inputs, outputs = shape.inputs, shape.outputs
    weight, bias = (outputs, inputs, 3, 3), (outputs,)
    weights = StoredTensor(layer, WeightKind.WEIGHT, weight, factor)
    biases = matcher.bias(value)
    matcher.tensors.update(
        {
            f"{name}.sk.weight": ((outputs, inputs, 1, 1), ConstantTensor(0.0)),
            f"{name}.sk.bias": (bias, ConstantTensor(0.0)),
            f"{name}.conv.0.weight": ((2 * inputs, inputs, 1, 1), IdentityTensor()),
            f"{name}.conv.0.bias": ((2 * inputs,), ConstantTensor(0.0)),
            f"{name}.conv.1.weight": ((2 * outputs, 2 * inputs, 3, 3), weights),
            f"{name}.conv.1.bias": ((2 * outputs,), biases),
            f"{name}.conv.2.weight": ((outputs, 2 * outputs, 1, 1), IdentityTensor()),
            f"{name}.conv.2.bias": (bias, ConstantTensor(0.0)),
            f"{name}.eval_conv.weight": (weight, weights),
            f"{name}.eval_conv.bias": (bias, biases),
        }
    )


def _inferred_scale(shuffled: int, inputs: int) -> int:
    """The scale that spandrel concludes from the channels before the pixel shuffle; 0 if it gives up."""
    for channels in (inputs, 3, 4, 1):
        scale = isqrt(shuffled // channels)
        if scale * scale * channels == shuffled:
            return scale
    return 0


def _whole(number: float) -> int | None:
    """The whole number from 1 to the largest factor that this is, within the digits of a `.param`, or None."""
    if not 0.5 <= number <= MAX_FACTOR:
        return None
    return round(number) if is_close(number, round(number)) else None


_NETWORKS: dict[str, Callable[[GraphMatcher], None]] = {
    "ESRGAN": _match_esrgan,
    "Compact": _match_compact,
    "SPAN": _match_span,
}
"""spandrel's id -> the function that visits such a network and records its tensors."""
