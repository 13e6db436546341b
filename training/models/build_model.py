"""Every network that can be trained, by name, behind one call."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from glianet.network import Boxes, GLIANet
from training.models.headxnet import HeadXNet
from training.models.local_only import LocalNetwork
from training.models.unet3d import UNet3D

Loss = Literal["glianet", "cross-entropy"]
"""Which loss the paper trains a model with: its own (page 15), or softmax cross-entropy."""


class ModelError(Exception):
    """There is no model of this name; the text lists those that there are."""


@dataclass(frozen=True, eq=False)
class ModelOutput:
    """logits: (N, 2, S, S, S), channel 1 the aneurysm. risk_logits: (N, 2), None without a global network."""

    logits: Tensor
    risk_logits: Tensor | None


class SegmentationModel(nn.Module):
    """A network of windowed patches (N, 3, S, S, S). This one sees nothing but its patches.

    name: one of `MODELS`. loss: what the paper trains it with. network: what is saved and exported, by itself.
    """

    def __init__(self, name: str, loss: Loss, network: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.loss: Loss = loss
        self.network = network

    def forward(self, patches: Tensor, whole: Tensor, boxes: Boxes) -> ModelOutput:
        """All at once: `segment` with the `features` of the whole.

        patches: (N, 3, S, S, S) float32, 0 to 1 (`glianet.windows`); S a multiple of 8, at least 16.
        whole: (1, 3, 96, 96, 96) windowed global image of all patches, or (N, ...), one for each.
        boxes: N rows (z0, z1, y0, y1, x0, x1) in the global image, ends inclusive.
        """
        return self.segment(patches, self.features(whole), boxes)

    def features(self, whole: Tensor) -> Tensor | None:
        """What depends on the volume alone: once for all its patches. None where there is nothing such."""
        return None

    def segment(self, patches: Tensor, features: Tensor | None, boxes: Boxes) -> ModelOutput:
        """Patches, with what `features` gave for their volumes."""
        return ModelOutput(self.network(patches), None)


class LocatedModel(SegmentationModel):
    """GLIA-Net: sees where in the head its patches lie."""

    network: GLIANet

    def features(self, whole: Tensor) -> Tensor:
        """(1 or N, 3, 96, 96, 96) -> (1 or N, 128, 24, 24, 24)."""
        return self.network.global_features(whole)

    def segment(self, patches: Tensor, features: Tensor | None, boxes: Boxes) -> ModelOutput:
        """As above. Raises ValueError where patches, boxes and volumes are not equally many."""
        if features is None or len(boxes) != len(patches) or len(features) not in (1, len(patches)):
            volumes = 0 if features is None else len(features)
            raise ValueError(
                f"{self.name}: {len(patches)} patches need as many boxes, not {len(boxes)}, and the features of one "
                f"volume or of as many, not {volumes}"
            )
        location, risk_logits = self.network.localise(features, boxes)
        return ModelOutput(self.network.segment(patches, location), risk_logits)


MODELS: dict[str, Callable[[], SegmentationModel]] = {
    "glianet": lambda: LocatedModel("glianet", "glianet", GLIANet()),
    "glianet-no-global": lambda: SegmentationModel("glianet-no-global", "glianet", LocalNetwork()),
    "unet3d": lambda: SegmentationModel("unet3d", "cross-entropy", UNet3D()),
    "headxnet": lambda: SegmentationModel("headxnet", "cross-entropy", HeadXNet()),
}


def build_model(name: str) -> SegmentationModel:
    """A model of `MODELS` with random weights, by PyTorch's generator. Raises ModelError for any other name."""
    if name not in MODELS:
        raise ModelError(f"model {name!r} is unknown; there are {', '.join(MODELS)}")
    return MODELS[name]()
