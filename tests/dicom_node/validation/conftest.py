"""A folder with the results of a small series and their source, made once and copied for each test."""

import shutil
from pathlib import Path

import pytest

from tests.support.result_folder import make_result_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_result_folder(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of the results and their source, to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "results"))
