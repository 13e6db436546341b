"""The demo's patient: a phantom of `glianet-training phantoms`, written as a DICOM series."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from dicom_node.demo.planted import PlantedAneurysm, read_planted
from dicom_node.demo.run_node import DemoFailed
from dicom_node.demo.write_series import write_series
from glianet.nifti import read_nifti

SLICES, MATRIX, SPACING_MM, SLICE_SPACING_MM, ANEURYSMS = 112, 512, 0.45, 0.6, 3
ACQUIRED = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)  # fixed: the same seed gives the same files


def make_phantom_series(
    folder: Path, seed: int, console: Console
) -> tuple[Path, tuple[PlantedAneurysm, ...]]:
    """Make the phantom of this seed, once; its DICOM folder and the aneurysms planted in it."""
    case = folder / f"phantom-{seed:06d}"
    series = folder / f"series-{seed}"
    if not (case / "truth.json").is_file():
        command = [
            sys.executable,
            "-m",
            "training.cli",
            "phantoms",
            str(folder),
            "--count",
            "1",
            "--seed",
            str(seed),
        ]
        command += ["--slices", str(SLICES), "--matrix", str(MATRIX), "--aneurysms", str(ANEURYSMS)]
        command += ["--in-plane", str(SPACING_MM), "--slice-spacing", str(SLICE_SPACING_MM)]
        if subprocess.run(command, check=False).returncode:
            raise DemoFailed("the phantom could not be made", where=" ".join(command))
    if not series.is_dir():
        volume = read_nifti(case / "image.nii.gz")
        write_series(series, volume.hu, volume.affine, seed=str(seed), acquired=ACQUIRED)
    planted = read_planted(case / "truth.json")
    console.print(
        f"{SLICES} slices of {MATRIX} x {MATRIX}, {len(planted)} aneurysms planted (seed {seed}): {series}"
    )
    return series, planted
