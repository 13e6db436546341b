"""Starts one training: what `glianet-training train` calls, and torchrun, which needs nothing but torch and numpy.

    torchrun --nproc-per-node 4 -m training.run OUT --preset paper --set data.manifest=cases.csv
"""

import argparse
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.load_recipe import RecipeError, differences, load_recipe
from training.state import CHECKPOINT, load_run_recipe
from training.train import train


def run_training(folder: Path, recipe: Path | None, preset: str, changes: Sequence[str]) -> None:
    """Trains in a folder by a preset, a TOML file and single keys "run.steps=10", each changing the one before.

    Where a training in the folder goes on, and neither preset nor file is given, its own recipe is what keys change;
    what changes is said. Raises RecipeError, and what `train` raises.
    """
    keys = dict(map(_parse, changes))
    if not (folder / CHECKPOINT).exists():
        train(folder, load_recipe(recipe, preset, keys))
        return
    before = load_run_recipe(folder)
    given = recipe is not None or bool(preset)
    after = load_recipe(recipe, preset, keys) if given else load_recipe(changes=keys, begin_with=before)
    if os.environ.get("RANK", "0") == "0":
        for line in differences(before, after):
            print(f"goes on with {line}", file=sys.stderr)
    train(folder, after)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of `python -m training.run`."""
    parser = argparse.ArgumentParser(prog="python -m training.run", description="Train from a recipe, or go on.")
    parser.add_argument("folder", metavar="OUT", type=Path, help="folder of the training; resumes there")
    parser.add_argument("--recipe", type=Path, help="TOML file")
    parser.add_argument("--preset", default="", help="recipe of the package to begin with")
    parser.add_argument("--set", dest="changes", metavar="KEY=VALUE", action="append", default=[], help="one key")
    given = parser.parse_args(arguments)
    run_training(given.folder, given.recipe, given.preset, given.changes)


def _parse(change: str) -> tuple[str, Any]:
    """The value is TOML; what is none is taken as text."""
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {change}: it has not the form KEY=VALUE, such as run.steps=1000")
    try:
        return key.strip(), tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), text.strip()


if __name__ == "__main__":
    main()
