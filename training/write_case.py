"""Phantoms as files: image, labels and what was planted, and a manifest of all."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from training.manifest import ManifestCase, write_manifest
from training.nifti import write_grid
from training.phantom import GENERATOR_VERSION, Phantom

IMAGE, LABELS, TRUTH, MANIFEST = "image.nii.gz", "labels.nii.gz", "truth.json", "manifest.csv"
INSTITUTION = "phantom"


def write_cases(folder: Path, phantoms: Iterable[Phantom], done: Callable[[int], None]) -> None:
    """A folder for each phantom, and manifest.csv, without splits. done: told how many are written. Raises OSError."""
    cases = []
    for number, phantom in enumerate(phantoms, start=1):
        name = f"phantom-{phantom.seed:06d}"
        write_case(folder / name, phantom)
        cases.append(ManifestCase(name, folder / name / IMAGE, folder / name / LABELS, name, INSTITUTION))
        done(number)
    write_manifest(folder / MANIFEST, cases)


def write_case(folder: Path, phantom: Phantom) -> None:
    """Write image.nii.gz (int16 HU), labels.nii.gz (uint8) and truth.json into a new or existing folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_grid(folder / IMAGE, phantom.hu, phantom.affine)
    write_grid(folder / LABELS, phantom.labels, phantom.affine)
    truth = {
        "generator_version": GENERATOR_VERSION,
        "seed": phantom.seed,
        "shape": list(phantom.hu.shape),
        "spacing_mm": list(phantom.spacing_mm),
        "aneurysms": [asdict(aneurysm) for aneurysm in phantom.aneurysms],
    }
    (folder / TRUTH).write_text(json.dumps(truth, indent=2) + "\n")
