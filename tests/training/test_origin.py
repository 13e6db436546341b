"""What a training says of where it began."""

from pathlib import Path

import pytest

from training.manifest import CasesError
from training.origin import read_origin, record_origin
from training.phantom import GENERATOR_VERSION
from training.recipe import DataRecipe, Recipe


def test_a_training_on_drawn_vessels_names_no_trees(tmp_path: Path) -> None:
    record_origin(tmp_path, Recipe())
    assert read_origin(tmp_path, Recipe()) == {"phantom_generator_version": GENERATOR_VERSION, "began_with": None}


def test_traced_trees_are_named_and_their_folder_is_not(tmp_path: Path) -> None:
    """A later start leaves what the first one wrote."""
    trees = tmp_path / "trees"
    trees.mkdir()
    (trees / "b.swc").touch()
    (trees / "a.swc").touch()
    recipe = Recipe(data=DataRecipe(trees=str(trees), traced_share=0.7))
    record_origin(tmp_path, recipe)
    (trees / "c.swc").touch()
    record_origin(tmp_path, recipe)
    assert read_origin(tmp_path, recipe)["traced_trees"] == {"share": 0.7, "names": ["a", "b"]}


def test_a_training_on_cases_takes_no_trees(tmp_path: Path) -> None:
    recipe = Recipe(data=DataRecipe(manifest="cases.csv", trees=str(tmp_path / "absent")))
    record_origin(tmp_path, recipe)
    assert "traced_trees" not in read_origin(tmp_path, recipe)


def test_a_folder_without_trees_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CasesError, match="there is no tree"):
        record_origin(tmp_path, Recipe(data=DataRecipe(trees=str(tmp_path))))
