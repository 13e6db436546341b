"""The import rules of ARCHITECTURE.md, checked from the import statements and in a fresh interpreter."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FORBIDDEN = {
    "glianet": {"pydicom", "pynetdicom", "highdicom", "sqlalchemy", "alembic", "dicom_node", "storage", "training"},
    "storage": {"torch", "numpy", "pydicom", "pynetdicom", "highdicom", "glianet", "dicom_node", "training"},
    "dicom_node": {"training"},
    "training": {"storage", "pynetdicom", "sqlalchemy"},
}
ONLY_IN = {  # library -> the modules that may import it
    "SimpleITK": {"glianet/nifti.py"},
    "openvino": {"glianet/openvino_network.py", "glianet/segmenters.py"},
}
TORCH_FREE = ("dicom_node.receiver", "dicom_node.router", "dicom_node.daemon", "dicom_node.cli", "dicom_node.send")


def imports_of(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide what is imported"
            yield node.module or ""


def modules(package: str) -> list[Path]:
    found = sorted((REPOSITORY / package).rglob("*.py"))
    assert found, f"no module in {package}"
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_keep_to_their_side(package: str) -> None:
    for file in modules(package):
        roots = {name.split(".")[0] for name in imports_of(file)}
        assert not roots & FORBIDDEN[package], f"{file} imports {roots & FORBIDDEN[package]}"


@pytest.mark.parametrize("library", ONLY_IN)
def test_libraries_stay_where_they_are_needed(library: str) -> None:
    for package in FORBIDDEN:
        for file in modules(package):
            if library in {name.split(".")[0] for name in imports_of(file)}:
                assert str(file.relative_to(REPOSITORY)) in ONLY_IN[library]


def test_training_uses_only_the_readers_of_dicom_node() -> None:
    for file in modules("training"):
        used = {name for name in imports_of(file) if name.startswith("dicom_node")}
        assert used <= {"dicom_node.read_series", "dicom_node.errors"}, f"{file} imports {used}"


TRAINS = ("training.train", "training.run", "training.phantom.varied", "training.metrics.summary")


@pytest.mark.parametrize("module", TRAINS)
def test_what_trains_needs_torch_numpy_and_scipy_alone(module: str) -> None:
    """Of what is installed here, no other library is even tried."""
    others = "SimpleITK pydicom highdicom pynetdicom sqlalchemy openvino matplotlib typer rich pydantic safetensors"
    program = f"import sys; sys.modules.update(dict.fromkeys({others.split()!r})); import {module}"
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("module", TORCH_FREE)
def test_processes_without_a_network_never_import_torch(module: str) -> None:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr or f"{module} imports torch"


def test_stages_do_not_import_each_other() -> None:
    stages = {"receiver", "assembly", "analysis", "publishing", "delivery"}
    for stage in stages:
        files = [REPOSITORY / "dicom_node" / f"{stage}.py", *(REPOSITORY / "dicom_node" / stage).glob("*.py")]
        for file in filter(Path.is_file, files):
            used = {name.split(".")[1] for name in imports_of(file) if name.startswith("dicom_node.")}
            assert not used & (stages - {stage}), f"{file} imports another stage"
