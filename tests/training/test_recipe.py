"""Recipes: the paper's figures, the presets, and what is refused."""

import tomllib
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from training.load_recipe import RecipeError, load_recipe, presets, recipe_from_json
from training.recipe import OptimiserRecipe, Recipe, RunRecipe

DOCUMENTED = Path(__file__).parents[2] / "training" / "training.toml"


def test_the_defaults_are_the_papers_recipe() -> None:
    """Supplement, Input Transformation and Training Details; the pyramid's weights are the main text's."""
    recipe = load_recipe()
    assert (recipe.patches.size, recipe.patches.batch, recipe.patches.jitter) == (96, 3, 38)
    assert (recipe.loss.global_weight, recipe.loss.local_weight) == (0.1, 1.0)
    assert (recipe.loss.dice_weight, recipe.loss.cross_weight) == (0.8, 0.2)
    assert (recipe.loss.dice_gamma, recipe.loss.cross_gamma) == (0.3, 0.3)
    assert (recipe.loss.lowest, recipe.loss.highest, recipe.loss.fixed) == (3.0, 20.0, 11.5)
    assert recipe.loss.small_voxels == 400 and recipe.loss.negative == 1.0
    assert recipe.run.steps == 200_000
    assert load_recipe(preset="paper") == recipe


def test_the_rate_falls_as_in_the_paper() -> None:
    recipe = Recipe()
    assert recipe.rate_at(9_999) == 2e-4
    assert recipe.rate_at(10_000) == pytest.approx(2e-4 * 0.95)
    assert recipe.rate_at(25_000) == pytest.approx(2e-4 * 0.95**2)


def test_the_rate_rises_and_falls_to_zero() -> None:
    recipe = Recipe(optimiser=OptimiserRecipe(rate=1e-3, schedule="linear", warmup=10), run=RunRecipe(steps=1000))
    assert recipe.rate_at(0) == pytest.approx(1e-4)
    assert recipe.rate_at(9) == pytest.approx(1e-3 * 0.991)
    assert recipe.rate_at(500) == pytest.approx(5e-4)
    assert recipe.rate_at(1000) == 0


def test_presets_change_what_they_name() -> None:
    assert set(presets()) >= {"paper", "published", "no-pyramid", "phantoms"}
    published = load_recipe(preset="published")
    assert (published.loss.dice_weight, published.loss.cross_weight, published.loss.positive_above) == (0.2, 0.8, 3)
    assert replace(published, loss=Recipe().loss) == Recipe()
    assert not load_recipe(preset="no-pyramid").loss.pyramid
    for name in presets():
        load_recipe(preset=name)


def test_the_documented_file_names_every_key_with_its_default() -> None:
    assert tomllib.loads(DOCUMENTED.read_text()) == asdict(Recipe())
    for line in DOCUMENTED.read_text().splitlines():
        assert not line or line[0] in "#[" or "  # " in line, f"no explanation: {line}"


def test_later_changes_go_over_earlier_ones(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('model = "unet3d"\n[run]\nsteps = 10\nseed = 3\n')
    recipe = load_recipe(file, "published", {"run.steps": 20})
    assert (recipe.model, recipe.run.steps, recipe.run.seed, recipe.loss.dice_weight) == ("unet3d", 20, 3, 0.2)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        '[patches]\nsize = 50\nsizes = 3\n[run]\nsteps = "many"\nprecision = "int8"\n'
        "[lost]\nx = 1\n[optimiser]\nclip = true\n"
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    text = str(caught.value)
    assert str(file) in text
    for part in (
        "patches.sizes: it is unknown; there are size, batch",
        "patches.size: 50 is no multiple of 8 from 16 on",
        "run.steps: 'many' is no int",
        "run.precision: 'int8' is none of auto, float32, bfloat16, float16",
        "lost: it is no table of a recipe",
        "optimiser.clip: True is no float",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patches.cases": 4}, "patches.cases: 4 is not from 1 to patches.batch, 3"),
        ({"patches.jitter": 60}, "patches.jitter: 60 is not from 0 to half"),
        ({"patches.artery_share": 0.7, "patches.bone_share": 0.7}, "at most 1 together"),
        ({"loss.dice_weight": -1}, "loss.dice_weight: -1.0 is negative"),
        ({"loss.dice_gamma": 0}, "loss.dice_gamma: 0.0 is not above 0"),
        ({"optimiser.average": 1.0}, "optimiser.average: 1.0 is not from 0"),
        ({"patches.small_share": 1.5}, "patches: shares are from 0 to 1"),
        ({"data.traced_share": 1.5}, "data.traced_share: 1.5 is not from 0 to 1"),
        ({"data.generator": "standard", "data.trees": "x"}, "data.trees: standard phantoms take none"),
        ({"data.generator": "x"}, "data.generator: 'x' is none of standard, varied"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(changes=change)


def test_an_unknown_preset_and_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="preset 'best': there are .*paper"):
        load_recipe(preset="best")
    with pytest.raises(RecipeError, match="none.toml: it cannot be read"):
        load_recipe(tmp_path / "none.toml")


def test_json_and_back() -> None:
    recipe = load_recipe(preset="phantoms")
    assert recipe_from_json(recipe.to_json()) == recipe
