"""ESRGAN, Compact and SPAN recognized in an ncnn graph, with the tensors that spandrel's network needs.

What spandrel's networks cannot be told (the growth of a dense block, the slope of a LeakyReLU, the mean
that SPAN subtracts) is compared, so that what is loaded computes what ncnn computes.
"""

from __future__ import annotations

from math import isqrt

from lib_upscale.models.formats.ncnn.graph import MAX_FACTOR, Graph, Op, UnlikeError
from lib_upscale.models.formats.ncnn.matcher import (
    Constant,
    ConstantTensor,
    GraphMatcher,
    IdentityTensor,
    Network,
    Source,
    StoredTensor,
    equal,
)
from lib_upscale.models.formats.ncnn.param_file import BadGraphError
from lib_upscale.models.formats.ncnn.weights import Part

__all__ = ["recognize"]

_LEAKY_SLOPE = 0.2
_RESIDUAL_SCALE = 0.2
_GROWTH = 32
_SPAN_BLOCKS = 6
_SPAN_RANGE = 255.0
_SPAN_MEAN = (0.4488, 0.4371, 0.4040)


def recognize(graph: Graph) -> Network:
    """The network that the graph is.

    Raises UnlikeError, which says what keeps it from being one, or BadGraphError where it is one but
    for weights that do not fit each other.
    """
    answers: list[UnlikeError] = []
    for replay in (_esrgan, _compact, _span):
        try:
            return replay(GraphMatcher(graph))
        except UnlikeError as error:
            answers.append(error)
    best = max(answers, key=lambda answer: answer.matched)
    if best.matched < 4:
        raise UnlikeError("its layers are connected in another way")
    raise best


# ESRGAN: Wang et al. 2018, https://arxiv.org/abs/1809.00219; with pixel unshuffle: Real-ESRGAN,
# https://arxiv.org/abs/2107.10833.


def _esrgan(replay: GraphMatcher) -> Network:
    network = Network("ESRGAN")
    unshuffled = replay.may(Op.UNSHUFFLE, replay.input)
    first = replay.convolution(replay.input if unshuffled is None else unshuffled)
    width = replay.filter(first).outputs
    replay.keep(network, "conv_first", first)
    trunk, blocks = first, 0
    while _starts_dense_block(replay, trunk):
        trunk = _residual_block(replay, network, f"body.{blocks}", trunk, width)
        blocks += 1
    if not blocks:
        raise replay.unlike("it has no dense blocks")
    last = replay.convolution(trunk, inputs=width, outputs=width)
    replay.keep(network, "conv_body", last)
    value, scale = replay.must(Op.ADD, first, last), 1
    for stage in range(1, 5):
        larger = replay.may(Op.NEAREST, value)
        if larger is None:
            break
        if not equal(replay.node(larger).number, 2):
            raise replay.unlike("it enlarges in steps other than 2")
        value, scale = _leaky_convolution(replay, network, f"conv_up{stage}", larger, width, width), 2 * scale
    value = _leaky_convolution(replay, network, "conv_hr", value, width, width)
    end = replay.convolution(value, inputs=width)
    replay.keep(network, "conv_last", end)
    replay.finish(end)
    _check_unshuffle(replay, unshuffled, first, end, scale)
    return network


def _starts_dense_block(replay: GraphMatcher, value: int) -> bool:
    convolution = replay.peek(Op.CONVOLUTION, value)
    return convolution is not None and replay.peek(Op.LEAKY, convolution) is not None


def _residual_block(replay: GraphMatcher, network: Network, name: str, value: int, width: int) -> int:
    inner = value
    for number in (1, 2, 3):
        inner = _dense_block(replay, network, f"{name}.rdb{number}", inner, width)
    return _add_scaled(replay, inner, value)


def _dense_block(replay: GraphMatcher, network: Network, name: str, value: int, width: int) -> int:
    features, joined = [value], value
    for number in (1, 2, 3, 4):
        inputs = width + _GROWTH * (number - 1)
        features.append(_leaky_convolution(replay, network, f"{name}.conv{number}", joined, inputs, _GROWTH))
        joined = replay.must(Op.CONCAT, *features)
    last = replay.convolution(joined, inputs=width + 4 * _GROWTH, outputs=width)
    replay.keep(network, f"{name}.conv5", last)
    return _add_scaled(replay, last, value)


def _add_scaled(replay: GraphMatcher, value: int, base: int) -> int:
    return replay.must(Op.ADD, replay.must(Op.SCALE, value, number=_RESIDUAL_SCALE), base)


def _leaky_convolution(replay: GraphMatcher, network: Network, name: str, value: int, inputs: int, outputs: int) -> int:
    convolution = replay.convolution(value, inputs=inputs, outputs=outputs)
    replay.keep(network, name, convolution)
    return replay.must(Op.LEAKY, convolution, number=_LEAKY_SLOPE)


def _check_unshuffle(replay: GraphMatcher, unshuffled: int | None, first: int, end: int, scale: int) -> None:
    """spandrel infers the unshuffle from the channels; it must come to what the graph says."""
    inputs, outputs = replay.filter(first).inputs, replay.filter(end).outputs
    inferred = {4 * outputs: 2, 16 * outputs: 4}.get(inputs, 1)
    factor = 1.0 if unshuffled is None else replay.node(unshuffled).number
    if factor != inferred or scale < factor:
        raise replay.unlike(f"its {inputs} input channels and {outputs} output channels do not go together")


# Compact, or SRVGGNet: https://github.com/xinntao/Real-ESRGAN


def _compact(replay: GraphMatcher) -> Network:
    network = Network("Compact")
    value, place, width, inputs = replay.input, 0, 0, 0
    while True:
        value = replay.convolution(value, inputs=width)
        shape = replay.filter(value)
        inputs = inputs or shape.inputs
        replay.keep(network, f"body.{place}", value)
        activated = _put_activation(replay, network, f"body.{place + 1}", value)
        if activated is None:
            break
        if width and shape.outputs != width:
            raise replay.unlike("its layers are not equally wide")
        value, width, place = activated, shape.outputs, place + 2
    if not place:
        raise replay.unlike("it has no activations")
    shuffled = replay.may(Op.SHUFFLE, value)
    scale = 1 if shuffled is None else int(replay.node(shuffled).number)
    if shape.outputs != inputs * scale * scale:
        raise replay.unlike(f"its last convolution makes {shape.outputs} channels")
    base = replay.input if scale == 1 else replay.must(Op.NEAREST, replay.input, number=scale)
    value = replay.must(Op.ADD, value if shuffled is None else shuffled, base)
    value = _final_resize(replay, network, value, scale)
    replay.finish(value)
    return network


def _put_activation(replay: GraphMatcher, network: Network, name: str, value: int) -> int | None:
    """spandrel's Compact has a PReLU; a LeakyReLU is one with equal slopes."""
    shape = (replay.filter(value).outputs,)
    leaky = replay.may(Op.LEAKY, value)
    if leaky is not None:
        network.tensors[f"{name}.weight"] = shape, ConstantTensor(replay.node(leaky).number)
        return leaky
    activated = replay.may(Op.PRELU, value)
    if activated is None:
        return None
    node = replay.node(activated)
    if node.slopes not in (1, shape[0]):
        raise BadGraphError(f"the PReLU of '{name}' has {node.slopes} slopes for {shape[0]} channels")
    network.tensors[f"{name}.weight"] = shape, StoredTensor(node.layer, Part.SLOPE, (node.slopes,))
    return activated


def _final_resize(replay: GraphMatcher, network: Network, value: int, scale: int) -> int:
    """Real-ESRGAN's animevideov3 for 2 and 3 is the one for 4 with a bicubic resize at its end."""
    resized = replay.may(Op.BICUBIC, value)
    if resized is None:
        return value
    target = _whole(scale * replay.node(resized).number)
    if target is None:
        raise replay.unlike("it resizes its result to a broken factor")
    network.tensors["resized_to"] = (target,), ConstantTensor(0.0)
    return resized


# SPAN: Wan et al. 2023, https://arxiv.org/abs/2311.12770


def _span(replay: GraphMatcher) -> Network:
    network = Network("SPAN")
    value, factor = _normalized(replay, network)
    first = replay.convolution(value)
    inputs, width = replay.filter(first).inputs, replay.filter(first).outputs
    _put_fused(replay, network, "conv_1", first, factor)
    block = first
    for number in range(1, _SPAN_BLOCKS + 1):
        block, inner = _attention_block(replay, network, f"block_{number}", block, width)
        if number == 1:
            block_1 = block
    last = replay.convolution(block, inputs=width, outputs=width)
    _put_fused(replay, network, "conv_2", last)
    joined = replay.must(Op.CONCAT, first, last, block_1, inner)
    value = replay.convolution(joined, kernel=1, inputs=4 * width, outputs=width)
    replay.keep(network, "conv_cat", value)
    value = replay.convolution(value, inputs=width)
    replay.keep(network, "upsampler.0", value)
    outputs = replay.filter(value).outputs
    shuffled = replay.may(Op.SHUFFLE, value)
    scale = 1 if shuffled is None else int(replay.node(shuffled).number)
    replay.finish(value if shuffled is None else shuffled)
    if _inferred_scale(outputs, inputs) != scale:
        raise replay.unlike(f"its {inputs} input channels and scale of {scale} do not go together")
    return network


def _normalized(replay: GraphMatcher, network: Network) -> tuple[int, float]:
    """What the first convolution sees, and the factor for its weights.

    spandrel either subtracts the mean of DIV2K and multiplies by 255, or does neither. Another range
    goes into the weights. Another mean could not: the picture is padded after it was subtracted.
    """
    mean = next((i for i, node in enumerate(replay.nodes) if node.op is Op.CONSTANT), None)
    if mean is None:
        network.tensors["no_norm"] = (1,), ConstantTensor(0.0)
        return replay.input, 1.0
    if replay.node(mean).size != (1, 1, 3):
        raise replay.unlike("it has a constant that is no color")
    replay.must(Op.CONSTANT)
    value = replay.must(Op.SUBTRACT, replay.input, mean)
    network.constants.append(Constant(replay.node(mean).layer, _SPAN_MEAN, "the mean that it subtracts"))
    scaled = replay.may(Op.SCALE, value)
    if scaled is None:
        return value, 1 / _SPAN_RANGE
    number = replay.node(scaled).number
    return scaled, 1.0 if equal(number, _SPAN_RANGE) else number / _SPAN_RANGE


def _attention_block(replay: GraphMatcher, network: Network, name: str, value: int, width: int) -> tuple[int, int]:
    """The block's result, and what its first convolution gives after the activation."""
    inner = value
    activated = []
    for number in (1, 2, 3):
        inner = replay.convolution(inner, inputs=width, outputs=width)
        _put_fused(replay, network, f"{name}.c{number}_r", inner)
        if number < 3:
            inner = _silu(replay, inner)
            activated.append(inner)
    attention = replay.must(Op.OFFSET, replay.must(Op.SIGMOID, inner), number=-0.5)
    result = replay.must(Op.MULTIPLY, replay.must(Op.ADD, inner, value), attention)
    return result, activated[0]


def _silu(replay: GraphMatcher, value: int) -> int:
    activated = replay.may(Op.SILU, value)
    if activated is not None:
        return activated
    return replay.must(Op.MULTIPLY, value, replay.must(Op.SIGMOID, value))


def _put_fused(replay: GraphMatcher, network: Network, name: str, value: int, factor: float = 1.0) -> None:
    """A fused convolution as the branches that spandrel fuses at every call.

    `sk` is zero; of the three convolutions in a row the first and the last hand on what they get, and
    the second is the fused one. Their product is exact: it only ever adds zeros.
    """
    shape, layer = replay.filter(value), replay.node(value).layer
    inputs, outputs = shape.inputs, shape.outputs
    weight, bias = (outputs, inputs, 3, 3), (outputs,)
    weights = StoredTensor(layer, Part.WEIGHT, weight, factor)
    biases: Source = StoredTensor(layer, Part.BIAS, bias) if shape.bias else ConstantTensor(0.0)
    network.tensors.update(
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
    return round(number) if equal(number, round(number)) else None
