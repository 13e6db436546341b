"""A phantom as files: image, labels and what was planted."""

import json
from dataclasses import asdict
from pathlib import Path

from training.phantom import GENERATOR_VERSION, Phantom

IMAGE, LABELS, TRUTH = "image.nii.gz", "labels.nii.gz", "truth.json"


def write_case(folder: Path, phantom: Phantom) -> None:
    """Write image.nii.gz (int16 HU), labels.nii.gz (uint8) and truth.json into a new or existing folder."""
    from glianet.nifti import write_nifti  # SimpleITK is slow to load and only needed here

    folder.mkdir(parents=True, exist_ok=True)
    write_nifti(folder / IMAGE, phantom.hu, phantom.affine)
    write_nifti(folder / LABELS, phantom.labels, phantom.affine)
    truth = {
        "generator_version": GENERATOR_VERSION,
        "seed": phantom.seed,
        "shape": list(phantom.hu.shape),
        "spacing_mm": list(phantom.spacing_mm),
        "aneurysms": [asdict(aneurysm) for aneurysm in phantom.aneurysms],
    }
    (folder / TRUTH).write_text(json.dumps(truth, indent=2) + "\n")
