"""What the documents promise is what the code has."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from dicom_node.cli import app
from dicom_node.destination_settings import DestinationSettings
from dicom_node.failures import FAILURES
from dicom_node.remote_settings import RemoteSettings
from dicom_node.settings import Settings
from training.cli import app as training_app

REPOSITORY = Path(__file__).parents[1]
GUIDE = (REPOSITORY / "docs" / "admin-guide.md").read_text(encoding="utf-8")
LISTED = {"destination": DestinationSettings, "remote": RemoteSettings}  # arrays of tables


def keys_of_settings() -> set[str]:
    keys = set()
    for table, field in Settings.model_fields.items():
        model = LISTED.get(table, field.annotation)
        assert model is not None and issubclass(model, BaseModel)
        keys |= {f"{table}.{key}" for key in model.model_fields}
    return keys


def tables_of_config() -> dict[str, Any]:
    """With the examples that stand in comments: a `#` without a space behind it."""
    text = (REPOSITORY / "config.toml").read_text(encoding="utf-8")
    return tomllib.loads(re.sub(r"^#(?=\[|\w+ = )", "", text, flags=re.MULTILINE))


def keys_of_config() -> set[str]:
    tables = tables_of_config()
    keys = set()
    for table, content in tables.items():
        keys |= {f"{table}.{key}" for key in (content[0] if isinstance(content, list) else content)}
    return keys


def keys_of_guide() -> set[str]:
    return set(re.findall(r"^\| `([a-z]+\.[a-z_0-9]+)` \|", GUIDE, flags=re.MULTILINE))


def test_config_settings_and_guide_name_the_same_keys() -> None:
    assert keys_of_config() == keys_of_settings()
    assert keys_of_guide() == keys_of_settings()


def test_the_guide_explains_every_code_of_a_failure() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", GUIDE, flags=re.MULTILINE)) == set(FAILURES)


def test_every_key_in_config_is_explained() -> None:
    """One line of explanation behind (or, for a list over several lines, at the end of) each setting."""
    text = (REPOSITORY / "config.toml").read_text(encoding="utf-8")
    for line in re.findall(r"^#?\w+ = .*$", text, flags=re.MULTILINE):
        assert "#" in line or line.endswith("["), line


def test_guide_states_the_defaults() -> None:
    tables = tables_of_config()
    for key, stated in re.findall(r"^\| `([a-z]+\.[a-z_0-9]+)` \| `([^`]*)` \|", GUIDE, flags=re.MULTILINE):
        table, name = key.split(".")
        content = tables[table][0] if table in LISTED else tables[table]
        assert tomllib.loads(f"value = {stated}")["value"] == content[name], key


@pytest.mark.parametrize("document", ["README.md", "docs/admin-guide.md"])
def test_documented_commands_exist(document: str) -> None:
    """Every `dicom-node COMMAND` that a document names answers --help."""
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    named = set(re.findall(r"dicom-node ((?:audit )?[a-z-]+)", text))
    assert {"serve", "check-config", "status", "retry", "audit verify"} <= named
    for command in named:
        result = CliRunner().invoke(app, [*command.split(), "--help"])
        assert result.exit_code == 0, f"{document} names `dicom-node {command}`, which does not exist"


@pytest.mark.parametrize("document", ["README.md", "docs/training.md"])
def test_documented_commands_of_training_exist(document: str) -> None:
    """Every `glianet-training COMMAND` that a document names answers --help."""
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    named = set(re.findall(r"glianet-training ((?:cases )?[a-z-]+)", text))
    assert {"phantoms", "train", "evaluate"} <= named
    for command in named:
        result = CliRunner().invoke(training_app, [*command.split(), "--help"])
        assert result.exit_code == 0, f"{document} names `glianet-training {command}`, which does not exist"
