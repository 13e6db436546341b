"""Recipes from TOML: every unknown key, wrong type and value out of range is told at once."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from training.recipe import Recipe

PRESETS = Path(__file__).parent / "presets"
"""Recipes that come with the package; each names only what differs from the paper's."""


class RecipeError(Exception):
    """A recipe cannot be used; the text says which file and keys, and what is accepted."""


def load_recipe(
    path: Path | None = None,
    preset: str = "",
    changes: Mapping[str, Any] | None = None,
    begin_with: Recipe | None = None,
) -> Recipe:
    """The paper's recipe, changed by a preset of the package, then a file, then single keys such as {"run.steps": 10}.

    begin_with: another one to change. Raises RecipeError with every unknown key, wrong type and value out of range.
    """
    recipe = begin_with or Recipe()
    if preset:
        recipe = _changed(recipe, _read(_preset_file(preset)), f"preset {preset}")
    if path is not None:
        recipe = _changed(recipe, _read(path), str(path))
    if changes:
        recipe = _changed(recipe, _nested(changes), "command line")
    return recipe


def recipe_from_json(values: Mapping[str, Any]) -> Recipe:
    """What `Recipe.to_json` gave. Raises RecipeError."""
    return _changed(Recipe(), values, "recipe of the run")


def presets() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.toml")))


def _preset_file(name: str) -> Path:
    if name not in presets():
        raise RecipeError(f"preset {name!r}: there are {', '.join(presets())}")
    return PRESETS / f"{name}.toml"


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as problem:
        raise RecipeError(f"{path}: it cannot be read ({problem})") from problem


def differences(before: Recipe, after: Recipe) -> list[str]:
    """Such as "run.steps: 640 -> 1280", for each key that differs."""
    one, other = _flat(before.to_json()), _flat(after.to_json())
    return [f"{key}: {one[key]!r} -> {value!r}" for key, value in other.items() if one[key] != value]


def _flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tables.items():
        flat |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat


def _nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in changes.items():
        table, _, name = key.rpartition(".")
        (nested.setdefault(table, {}) if table else nested)[name] = value
    return nested


def _changed(recipe: Recipe, values: Mapping[str, Any], where: str) -> Recipe:
    problems: list[str] = []
    tables = {one.name for one in fields(Recipe)} - {"model"}
    changed: dict[str, Any] = {}
    for key, value in values.items():
        if key == "model":
            changed[key] = str(value)
        elif key not in tables or not isinstance(value, Mapping):
            problems.append(f"{key}: it is no table of a recipe; there are model, {', '.join(sorted(tables))}")
        else:
            changed[key] = _table(getattr(recipe, key), key, value, problems)
    for table in changed.values():
        problems += table.problems() if not isinstance(table, str) else []
    if problems:
        raise RecipeError(f"{where}:\n" + "\n".join(f"- {problem}" for problem in problems))
    return replace(recipe, **changed)


def _table(table: Any, name: str, values: Mapping[str, Any], problems: list[str]) -> Any:
    types: dict[str, type] = get_type_hints(type(table))
    accepted: dict[str, Any] = {}
    for key, value in values.items():
        if key not in types:
            problems.append(f"{name}.{key}: it is unknown; there are {', '.join(types)}")
        elif not _is_a(value, types[key]):
            problems.append(f"{name}.{key}: {value!r} is no {types[key].__name__}")
        else:
            accepted[key] = types[key](value)
    return replace(table, **accepted)


def _is_a(value: Any, wanted: Any) -> bool:
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
