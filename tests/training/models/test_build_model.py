"""What all models have in common, and what only GLIA-Net has."""

import pytest
import torch
from torch import Tensor

from glianet.network import GLIANet
from tests.glianet.formulas import tensor_shapes
from training.models.build_model import MODELS, LocatedModel, ModelError, ModelOutput, build_model

SIZE = 24
BOXES = [[10, 40, 20, 50, 30, 60], [50, 80, 40, 70, 0, 30]]
GLIANET_PARAMETERS = 1_066_704
LOSSES = {
    "glianet": "glianet",
    "glianet-no-global": "glianet",
    "unet3d": "cross-entropy",
    "headxnet": "cross-entropy",
}
OTHERS = [name for name in LOSSES if name != "glianet"]


def _inputs() -> tuple[Tensor, Tensor]:
    torch.manual_seed(4)
    return torch.rand(2, 3, SIZE, SIZE, SIZE), torch.rand(1, 3, 96, 96, 96)


def _evaluate(name: str, patches: Tensor, whole: Tensor) -> ModelOutput:
    torch.manual_seed(5)
    with torch.inference_mode():
        return build_model(name).eval()(patches, whole, BOXES[: len(patches)])


def test_names_and_losses() -> None:
    assert list(MODELS) == list(LOSSES)
    for name, loss in LOSSES.items():
        model = build_model(name)
        assert (model.name, model.loss) == (name, loss)


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ModelError, match="'unet' is unknown; there are glianet, glianet-no-global, unet3d, headxnet"):
        build_model("unet")


@pytest.mark.parametrize("name", ["glianet", "unet3d", "headxnet"])
def test_parameters_are_about_as_many_as_glianet_has(name: str) -> None:
    count = sum(parameter.numel() for parameter in build_model(name).parameters())
    assert count == pytest.approx(GLIANET_PARAMETERS, rel=0.15)


def test_weights_of_glianet_have_the_published_names() -> None:
    weights = build_model("glianet").network.state_dict()
    assert {name: list(tensor.shape) for name, tensor in weights.items()} == tensor_shapes()


@pytest.mark.parametrize("name", LOSSES)
def test_shapes_and_gradients(name: str) -> None:
    patches, whole = _inputs()
    model = build_model(name)
    output = model(patches, whole, BOXES)
    assert output.logits.shape == (2, 2, SIZE, SIZE, SIZE)
    assert (output.risk_logits is not None) == (name == "glianet")
    total = output.logits.square().mean()
    if output.risk_logits is not None:
        assert output.risk_logits.shape == (2, 2)
        total = total + output.risk_logits.square().sum()
    total.backward()
    untouched = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not untouched


@pytest.mark.parametrize("name", OTHERS)
def test_in_evaluation_a_patch_has_one_result_whatever_comes_with_it(name: str) -> None:
    patches, whole = _inputs()
    both = _evaluate(name, patches, whole).logits
    assert torch.equal(both, _evaluate(name, patches, whole).logits)
    torch.testing.assert_close(both[:1], _evaluate(name, patches[:1], whole).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_models_without_global_network_ignore_the_whole(name: str) -> None:
    patches, whole = _inputs()
    assert torch.equal(
        _evaluate(name, patches[:1], whole).logits, _evaluate(name, patches[:1], 1 - whole).logits
    )


def test_glianet_looks_at_the_whole() -> None:
    patches, whole = _inputs()
    seen, other = (_evaluate("glianet", patches, volume) for volume in (whole, whole * 0.3))
    assert seen.risk_logits is not None and other.risk_logits is not None
    assert (seen.logits - other.logits).abs().max() > 1e-3
    assert (seen.risk_logits - other.risk_logits).abs().max() > 1e-3


def test_each_patch_is_seen_at_its_place_in_its_own_volume() -> None:
    model, patch, features = _located(), torch.rand(1, 3, SIZE, SIZE, SIZE), torch.randn(2, 128, 24, 24, 24)
    with torch.inference_mode():
        both = patch.expand(2, -1, -1, -1, -1)
        together, again = (model.segment(both, features, BOXES).logits for _ in range(2))
        alone = [model.segment(patch, features[i : i + 1], BOXES[i : i + 1]).logits for i in (0, 1)]
    assert torch.equal(together, again)
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3


@pytest.mark.parametrize(("patches", "volumes", "boxes"), [(2, 1, 1), (1, 1, 2), (2, 3, 2), (1, 2, 1), (1, 0, 1)])
def test_glianet_refuses_patches_that_it_cannot_place(patches: int, volumes: int, boxes: int) -> None:
    features = torch.zeros(volumes, 128, 24, 24, 24) if volumes else None
    with pytest.raises(ValueError, match=f"{patches} patches need as many boxes, not {boxes}"):
        _located().segment(torch.zeros(patches, 3, SIZE, SIZE, SIZE), features, BOXES[:boxes])


def _located() -> LocatedModel:
    torch.manual_seed(6)
    return LocatedModel("glianet", "glianet", GLIANet()).eval()
