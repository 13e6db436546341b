"""How well a network finds the aneurysms of phantoms it has never seen."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glianet.engine import EngineSettings, Progress, score_volume
from glianet.findings import Findings
from glianet.lesions import LesionSettings, find_lesions
from glianet.model import Model
from glianet.volume import Volume
from training.phantom import Phantom, PhantomSettings, PlantedAneurysm, make_phantom


@dataclass(frozen=True)
class Detection:
    """A planted aneurysm, the lesions that share a voxel with it (numbers), the dice with all of them."""

    planted: PlantedAneurysm
    lesions: tuple[int, ...]
    dice: float

    @property
    def found(self) -> bool:
        """Does any lesion touch it?"""
        return bool(self.lesions)


@dataclass(frozen=True)
class Evaluation:
    """One case. false_positives: numbers of the lesions that touch no planted aneurysm."""

    seed: int
    detections: tuple[Detection, ...]
    false_positives: tuple[int, ...]
    findings: Findings


def evaluate_phantoms(
    model: Model,
    seeds: range,
    settings: PhantomSettings,
    engine: EngineSettings,
    progress: Progress | None = None,
) -> Iterator[Evaluation]:
    """One evaluation per seed: whole volume, sliding window, lesions at the default threshold and least size.

    progress: told (patches done, patches in all) of the current case.
    """
    for seed in seeds:
        phantom = make_phantom(seed, settings)
        volume = Volume(phantom.hu, phantom.affine)
        findings = find_lesions(score_volume(volume, model, engine, progress), volume, LesionSettings())
        yield compare(phantom, findings)


def compare(phantom: Phantom, findings: Findings) -> Evaluation:
    """Match lesions with planted aneurysms by common voxels."""
    detections = tuple(_detection(planted, phantom.labels, findings.labels) for planted in phantom.aneurysms)
    touching = {number for detection in detections for number in detection.lesions}
    false_positives = tuple(lesion.number for lesion in findings.lesions if lesion.number not in touching)
    return Evaluation(phantom.seed, detections, false_positives, findings)


def _detection(planted: PlantedAneurysm, truth: NDArray[np.uint8], labels: NDArray[np.uint16]) -> Detection:
    own = truth == planted.number
    numbers = tuple(int(n) for n in np.unique(labels[own]) if n)
    if not numbers:
        return Detection(planted, (), 0.0)
    found = np.isin(labels, numbers)
    return Detection(planted, numbers, 2 * int((own & found).sum()) / int(own.sum() + found.sum()))
