"""Where a training began: what made its phantoms, and the weights that it took up with what these say."""

import json
from pathlib import Path
from typing import Any

from glianet.weights_file import read_metadata, weights_sha256
from training.case_sources import traced_trees
from training.phantom import GENERATOR_VERSION
from training.recipe import Recipe

ORIGIN = "origin.json"
"""File in the folder of a training."""


def record_origin(folder: Path, recipe: Recipe) -> None:
    """Writes origin.json at the first start; a training that is taken up again keeps what it began with.

    Raises WeightsError where the initial weights cannot be read, CasesError where its traced trees cannot, OSError
    where the folder cannot be written.
    """
    if not (folder / ORIGIN).exists():
        (folder / ORIGIN).write_text(json.dumps(_origin_of(recipe), indent=2) + "\n")


def read_origin(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """What `record_origin` wrote; for a training older than that, what its recipe names now."""
    if not (folder / ORIGIN).exists():
        return _origin_of(recipe)
    origin: dict[str, Any] = json.loads((folder / ORIGIN).read_text())
    return origin


def _origin_of(recipe: Recipe) -> dict[str, Any]:
    """began_with: the metadata of the initial weights, and so, in turn, what these began with; traced_trees: names."""
    weights = Path(recipe.run.initial_weights)
    initial = {"sha256": weights_sha256(weights), **read_metadata(weights)} if recipe.run.initial_weights else None
    origin = {"phantom_generator_version": GENERATOR_VERSION, "began_with": initial}
    names = [path.stem for path in traced_trees(recipe.data)]
    return {**origin, "traced_trees": {"share": recipe.data.traced_share, "names": names}} if names else origin
