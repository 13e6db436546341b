"""Scores the cases of a manifest, or phantoms, with given weights."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glianet.errors import GliaNetError
from training.manifest import CasesError, ManifestCase
from training.metrics.case_score import CaseScore, score_case
from training.nifti import read_grid, spacing_of
from training.orphans import end_with_parent
from training.phantom import Phantom, PhantomSettings, make_phantom
from training.phantom.template import read_cormack_template
from training.phantom.traced_tree import list_trees
from training.phantom.varied import make_varied_phantom
from training.scorer import Scorer

AFFINE_TOLERANCE_MM = 1e-3
LARGE_VOXELS = 2_000_000
"""Larger phantoms take longer to make than another process takes to start."""
Watch = Callable[[str, int, int], None]
"""Told (case, patches done, patches in all)."""


@dataclass(frozen=True, eq=False)
class EvaluationCase:
    """hu: (D, H, W) int16; truth: (D, H, W) bool; affine: (4, 4), index (k, j, i, 1) to LPS mm."""

    name: str
    institution: str
    hu: NDArray[np.int16]
    truth: NDArray[np.bool_]
    affine: NDArray[np.float64]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Along (D, H, W)."""
        return spacing_of(self.affine)


@dataclass(frozen=True)
class PhantomChoice:
    """Which phantoms: seeds, geometry, generator ("standard" or "varied").

    template: averaged head CT in Cormack units for surroundings, trees: folder of SWC files for vessels; both are for
    the varied ones alone.
    """

    seeds: range
    settings: PhantomSettings
    generator: str = "standard"
    template: Path | None = None
    trees: Path | None = None


def evaluate_cases(
    cases: Iterator[EvaluationCase],
    scorer: Scorer,
    watch: Watch | None = None,
    detection_threshold: float | None = None,
) -> Iterator[CaseScore]:
    """The score of each case as it is done, see `score_case`; one case is in memory at a time."""
    for case in cases:

        def progress(done: int, total: int, name: str = case.name) -> None:
            if watch:
                watch(name, done, total)

        probability = scorer.score(case.hu, case.affine, progress)
        yield score_case(
            case.truth, probability, case.spacing_mm, case.name, case.institution, detection_threshold
        )


def manifest_cases(listed: Sequence[ManifestCase]) -> Iterator[EvaluationCase]:
    """The cases that have a label, read one by one. Raises CasesError for files that cannot be used."""
    for one in listed:
        if one.label is not None:
            yield _read(one, one.label)


def phantom_cases(choice: PhantomChoice) -> Iterator[EvaluationCase]:
    """Made one by one. The institution is the kind of phantom. Raises ValueError where there is no tree."""
    kind = "phantoms, " + ("held-out surroundings" if choice.template or choice.trees else choice.generator)
    for phantom in make_phantoms(choice):
        yield EvaluationCase(f"phantom-{phantom.seed:06d}", kind, phantom.hu, phantom.labels > 0, phantom.affine)


def make_phantoms(choice: PhantomChoice) -> Iterator[Phantom]:
    """One after the other; of several large ones, the next is made by another process while this one is used.

    Raises ValueError where the template is none or the folder of trees has none.
    """
    if len(choice.seeds) < 2 or np.prod(choice.settings.shape) < LARGE_VOXELS:
        yield from (_make(choice, seed) for seed in choice.seeds)
        return
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent) as executor:
        coming = executor.submit(_make, choice, choice.seeds[0])
        for seed in choice.seeds[1:]:
            phantom, coming = coming.result(), executor.submit(_make, choice, seed)
            yield phantom
        yield coming.result()


def _make(choice: PhantomChoice, seed: int) -> Phantom:
    if choice.generator == "standard":
        return make_phantom(seed, choice.settings)
    template = read_cormack_template(choice.template) if choice.template else None
    trees = list_trees(choice.trees) if choice.trees else ()
    return make_varied_phantom(seed, choice.settings, background=template, trees=trees)


def _read(listed: ManifestCase, label: Path) -> EvaluationCase:
    try:
        image, truth = read_grid(listed.image), read_grid(label)
        if image.values.shape != truth.values.shape:
            raise ValueError(f"the image has shape {image.values.shape}, the label {truth.values.shape}")
        if not np.allclose(image.affine, truth.affine, atol=AFFINE_TOLERANCE_MM):
            raise ValueError("image and label lie differently in the patient")
    except (GliaNetError, ValueError) as problem:
        raise CasesError(listed.case, [f"{problem}; `glianet-training cases check` looks at all cases"]) from problem
    hu = np.clip(np.rint(image.values), -32768, 32767).astype(np.int16)
    return EvaluationCase(listed.case, listed.institution, hu, truth.values.astype(np.float32) > 0, image.affine)
