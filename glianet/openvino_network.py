"""The local segmentation network as an OpenVINO graph: the arrangement of `glianet.folded_network`, made for the CPU.

OpenVINO's own group normalisation wants another memory layout than its convolutions and copies every feature map to and
fro. Here it is spelled out as reductions and one multiplication and addition, which stay in the convolutions' layout:
half of the time of the network as OpenVINO converts it (docs/performance.md).
"""

from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as ops
from torch import Tensor

from glianet.folded_network import BLOCK, fold_output
from glianet.network import (
    LEAKY_SLOPE,
    LOCAL_CHANNELS,
    LOCATION_CHANNELS,
    LOCATION_SIZE,
    NORM_GROUPS,
    GLIANet,
)
from glianet.tiling import PATCH_SIZE
from glianet.windows import WINDOWS_HU

Node = Any
"""A node of a graph, or one of its outputs; the package has no types for them."""
Array = NDArray[np.float32]

EPSILON = 1e-5
"""Added to the variance, as in torch.nn.GroupNorm."""
KEEP_FLOAT32 = "precise"
"""Name under which a node's run-time information says that it is computed in float32 whatever the others are."""


def build_graph(network: GLIANet, patch: int = PATCH_SIZE) -> openvino.Model:
    """Inputs: HU (1, 1, S, S, S) int16 and location (1, 32, 6, 6, 6) float32. Output: probability (1, 1, S, S, S).

    patch: S, a multiple of 48.
    """
    weights = {name: _array(tensor) for name, tensor in network.state_dict().items()}
    weight, bias = fold_output(network.output_conv)
    return _Builder(weights, (_array(weight), _array(bias))).build(patch)


class _Builder:
    """Makes nodes out of tensors by their names in the published checkpoint.

    output: weight and bias of the output convolution, folded.
    """

    def __init__(self, weights: dict[str, Array], output: tuple[Array, Array]) -> None:
        self.weights = weights
        self.output = output

    def build(self, patch: int) -> openvino.Model:
        hu = ops.parameter([1, 1, patch, patch, patch], np.int16, name="hu")
        location = ops.parameter(
            [1, LOCATION_CHANNELS[-1], *[LOCATION_SIZE] * 3], np.float32, name="location"
        )
        scales = len(LOCAL_CHANNELS)
        deep, skips = _channels(hu), []
        for scale in range(scales):
            if scale:
                deep = ops.max_pool(deep, [2] * 3, [1] * 3, [0] * 3, [0] * 3, [2] * 3).output(0)
            deep = self._residual(f"encoder_blocks.{scale}.residual_block1", [deep])
            skips.append(deep)
        for number in range(scales - 1):
            scale = scales - 2 - number
            skip = self._gated(f"localizer_adaptor.{scale}", skips[scale], location)
            deep = self._decode(f"decoder_blocks.{number}", deep, skip)
        return openvino.Model([self._probability(deep)], [hu, location], "GLIA-Net")

    def _decode(self, name: str, deep: Node, skip: Node) -> Node:
        upsampled = ops.convolution_backprop_data(
            deep,
            _constant(self.weights[f"{name}.de_conv.weight"]),
            [2] * 3,
            pads_begin=[1] * 3,
            pads_end=[1] * 3,
            output_padding=[1] * 3,
        )
        parts = self._normalised(f"{name}.bn", [upsampled, skip])
        return self._residual(f"{name}.residual_blocks.residual_block1", parts)

    def _residual(self, name: str, parts: list[Node]) -> Node:
        """A residual block of an input whose channels come in one or more parts."""
        inner = self._convolution(f"{name}.conv1", parts)
        (inner,) = self._normalised(f"{name}.bn1", [inner])
        inner = self._convolution(f"{name}.conv2", [inner])
        (inner,) = self._normalised(f"{name}.bn2", [inner])
        residual = self._convolution(f"{name}.res_conv", parts)
        total = ops.add(self._convolution(f"{name}.conv3", [inner]), residual)
        return self._normalised(f"{name}.bn3", [total])[0]

    def _gated(self, name: str, skip: Node, location: Node) -> Node:
        logits = self._convolution(f"{name}.conv", [location])
        cells = ops.sigmoid(ops.add(logits, _per_channel(self.weights[f"{name}.conv.bias"])))
        gate = ops.interpolate(
            cells,
            _integers(_shape(skip)[2:]),
            "nearest",
            "sizes",
            axes=_integers([2, 3, 4]),
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return ops.multiply(skip, gate)

    def _convolution(self, name: str, parts: list[Node]) -> Node:
        """The sum of the convolutions of the parts with their own input channels."""
        weight, first, total = self.weights[f"{name}.weight"], 0, None
        for part in parts:
            channels = _shape(part)[1]
            convolved = _convolve(part, weight[:, first : first + channels])
            total = convolved if total is None else ops.add(total, convolved)
            first += channels
        return total

    def _normalised(self, name: str, parts: list[Node]) -> list[Node]:
        """Group normalisation over all parts together, and leaky ReLU, of each part."""
        means, squares = zip(*(_channel_moments(part) for part in parts), strict=True)
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        scale, shift = _scale_and_shift(_joined(means), _joined(squares), weight, bias)
        lengths = [_shape(part)[1] for part in parts]
        scales, shifts = (_split(moment, lengths) for moment in (scale, shift))
        slope = _constant(np.array([LEAKY_SLOPE]))
        return [
            ops.prelu(ops.add(ops.multiply(part, scales[number]), shifts[number]), slope)
            for number, part in enumerate(parts)
        ]

    def _probability(self, deep: Node) -> Node:
        weight, bias = self.output
        blocks = ops.convolution(deep, _constant(weight), [BLOCK] * 3, [1] * 3, [1] * 3, [1] * 3)
        logits = _precise(ops.add(blocks, _per_channel(bias)))
        return ops.depth_to_space(_precise(ops.sigmoid(logits)), "blocks_first", BLOCK)


def _array(tensor: Tensor) -> Array:
    return tensor.detach().cpu().float().numpy()


def _channels(hu: Node) -> Node:
    """`glianet.windows.to_channels` in the graph: (1, 1, S, S, S) int16 -> (1, 3, S, S, S)."""
    lower, upper = (np.array(ends, np.float32).reshape(1, -1, 1, 1, 1) for ends in zip(*WINDOWS_HU, strict=True))
    values = _precise(ops.subtract(_precise(ops.convert(hu, np.float32)), _constant(lower)))
    return _precise(ops.clamp(_precise(ops.divide(values, _constant(upper - lower))), 0.0, 1.0))


def _convolve(features: Node, weight: Array) -> Node:
    padding = [weight.shape[-1] // 2] * 3
    return ops.convolution(features, _constant(weight), [1] * 3, padding, padding, [1] * 3)


def _channel_moments(features: Node) -> tuple[Node, Node]:
    """Mean and mean square of each channel, (1, C, 1, 1, 1), of (1, C, D, H, W).

    Summed up in two steps, for one sum over 96^3 voxels in float32 is off by up to 1 % where many are equal. Two
    reductions of one kind in a row would be merged into one: sums come before means, and a norm before squares.
    """
    depth = _shape(features)[2]
    sums = _precise(ops.reduce_sum(features, _integers([2]), True))
    norms = _precise(ops.reduce_l2(features, _integers([2]), True))
    part = _constant(np.array([1 / depth]))
    means, squares = (
        _precise(ops.reduce_mean(_precise(ops.multiply(values, part)), _integers([3, 4]), True))
        for values in (sums, _precise(ops.multiply(norms, norms)))
    )
    return means, squares


def _scale_and_shift(means: Node, squares: Node, weight: Array, bias: Array) -> tuple[Node, Node]:
    """(1, C, 1, 1, 1) each: normalisation and affine transform as one multiplication and one addition."""
    average = _group_average(len(weight))
    mean, square = (_precise(_convolve(moment, average)) for moment in (means, squares))
    variance = _precise(ops.subtract(square, _precise(ops.multiply(mean, mean))))
    variance = _precise(ops.maximum(variance, _constant(np.zeros(1))))
    deviation = _precise(ops.sqrt(_precise(ops.add(variance, _constant(np.array([EPSILON]))))))
    scale = _precise(ops.divide(_per_channel(weight), deviation))
    return scale, _precise(ops.subtract(_per_channel(bias), _precise(ops.multiply(mean, scale))))


def _group_average(channels: int) -> Array:
    """(C, C, 1, 1, 1) weight of a convolution that gives each channel the average of its group."""
    group = channels // NORM_GROUPS
    matrix = np.kron(np.eye(NORM_GROUPS), np.full((group, group), 1 / group))
    return matrix.astype(np.float32).reshape(channels, channels, 1, 1, 1)


def _joined(parts: tuple[Node, ...]) -> Node:
    return ops.concat(list(parts), 1) if len(parts) > 1 else parts[0]


def _split(moment: Node, lengths: list[int]) -> list[Node]:
    if len(lengths) == 1:
        return [moment]
    split = ops.variadic_split(moment, _integers(1), _integers(lengths))
    return [split.output(number) for number in range(len(lengths))]


def _precise(node: Node) -> Node:
    node.get_rt_info()[KEEP_FLOAT32] = ""
    return node


def _constant(array: NDArray[Any]) -> Node:
    return ops.constant(np.ascontiguousarray(array, np.float32))


def _per_channel(values: Array) -> Node:
    return _constant(values.reshape(1, -1, 1, 1, 1))


def _integers(values: Any) -> Node:
    return ops.constant(np.array(values, np.int64))


def _shape(node: Node) -> list[int]:
    output = node.output(0) if hasattr(node, "output") else node
    return [int(length) for length in output.get_shape()]
