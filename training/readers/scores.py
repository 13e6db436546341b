"""Scores readings against the labels of a manifest, and gives a reader's figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from glianet.errors import GliaNetError
from training.manifest import ManifestCase
from training.metrics.targets import Target, TargetMatches, find_targets, match, match_targets
from training.metrics.voxels import THRESHOLD, VoxelCounts, ratio
from training.nifti import Grid, read_grid
from training.readers.readings import Found, Reading, ReadingsError

GRID_TOLERANCE_MM = 0.01
"""By how much a mask's grid may differ from the label's: NIfTI keeps its numbers as float32."""


@dataclass(frozen=True, eq=False)
class ScoredReading:
    """voxels: None where there is no mask and the reader found something, so that nothing can be counted."""

    reading: Reading
    voxels: VoxelCounts | None
    targets: TargetMatches


@dataclass(frozen=True, eq=False)
class _Truth:
    grid: Grid
    mask: NDArray[np.bool_]
    targets: tuple[Target, ...]


def score_readings(readings: Sequence[Reading], cases: Sequence[ManifestCase]) -> tuple[ScoredReading, ...]:
    """Each reading scored, in the order given.

    A finding matches a true target as a predicted one does: where the centres lie closer than the sum of the radii, in
    voxels; a finding without a diameter is a point. Raises ReadingsError with every reading that cannot be scored: of
    an unknown case or one without a label, with a mask on another grid or a finding outside the image.
    """
    known, problems = {case.case: case for case in cases}, list[str]()
    scored = dict[int, ScoredReading]()
    for name in dict.fromkeys(reading.case for reading in readings):  # each label is read once
        own = [number for number, reading in enumerate(readings) if reading.case == name]
        try:
            truth = _truth(name, known)
        except (ReadingsError, GliaNetError, OSError) as problem:
            problems.append(_first_problem(problem))
            continue
        for number in own:
            try:
                scored[number] = _score(readings[number], truth)
            except (ReadingsError, GliaNetError, OSError) as problem:
                problems.append(f"{_where(readings[number])}: {_first_problem(problem)}")
    if problems:
        raise ReadingsError("readings", problems)
    return tuple(scored[number] for number in range(len(readings)))


def reader_figures(scored: Sequence[ScoredReading]) -> dict[str, float | None]:
    """Seconds, DSC, target- and case-wise rates of one reader's readings of one kind; None where undefined.

    DSC is that of all voxels of all cases together, and there only where each reading has a mask or found nothing.
    """
    targets = [one.targets for one in scored]
    seconds = [one.reading.seconds for one in scored if one.reading.seconds is not None]
    tp, fn = sum(one.tp for one in targets), sum(one.fn for one in targets)
    found = [target.matched for one in targets for target in one.predicted]
    positive = [bool(one.predicted) for one in targets if one.true]
    negative = [not one.predicted for one in targets if not one.true]
    return {
        "seconds": mean(seconds) if seconds else None,
        "dsc": _dsc(scored),
        "target_precision": ratio(sum(found), len(found)),
        "target_recall": ratio(tp, tp + fn),
        "specificity": ratio(sum(negative), len(negative)),
        "sensitivity": ratio(sum(positive), len(positive)),
        "accuracy": ratio(sum(positive + negative), len(scored)),
    }


def _dsc(scored: Sequence[ScoredReading]) -> float | None:
    counts = [one.voxels for one in scored if one.voxels is not None]
    if len(counts) < len(scored) or not any(one.reading.mask for one in scored):
        return None
    tp, fp, fn, tn = (sum(getattr(one, kind) for one in counts) for kind in ("tp", "fp", "fn", "tn"))
    return VoxelCounts(tp, fp, fn, tn).dsc


def _truth(name: str, known: dict[str, ManifestCase]) -> _Truth:
    if name not in known:
        raise ReadingsError(name, [f"case {name}: the manifest does not list it"])
    label = known[name].label
    if label is None:
        raise ReadingsError(name, [f"case {name}: it has no label; one without any aneurysm needs an empty one"])
    grid = read_grid(label)
    mask = np.asarray(grid.values.astype(np.float32) > 0)
    return _Truth(grid, mask, tuple(find_targets(mask)))


def _score(reading: Reading, truth: _Truth) -> ScoredReading:
    mask = _mask(reading, truth)
    if mask is not None and reading.findings is None:
        targets = match_targets(truth.mask, mask.astype(np.float32), THRESHOLD)
    else:
        targets = match(list(truth.targets), [_target(one, truth.grid) for one in reading.findings or ()])
        if mask is None and not reading.findings:
            mask = np.zeros_like(truth.mask)
        elif mask is not None and mask.any() != bool(reading.findings):
            raise ReadingsError("mask", ["of mask and findings one is empty and the other is not; mend one of them"])
    return ScoredReading(reading, None if mask is None else _count(mask, truth), targets)


def _mask(reading: Reading, truth: _Truth) -> NDArray[np.bool_] | None:
    if reading.mask is None:
        return None
    grid = read_grid(reading.mask)
    near = grid.values.shape == truth.mask.shape and np.allclose(grid.affine, truth.grid.affine, atol=GRID_TOLERANCE_MM)
    if not near:
        raise ReadingsError("mask", [f"{reading.mask} does not lie on the grid of the case's label; save it on that"])
    return np.asarray(grid.values.astype(np.float32) > 0)


def _count(mask: NDArray[np.bool_], truth: _Truth) -> VoxelCounts:
    tp, found, true = (int(np.count_nonzero(one)) for one in (mask & truth.mask, mask, truth.mask))
    return VoxelCounts(tp, found - tp, true - tp, mask.size - found - true + tp)


def _target(found: Found, grid: Grid) -> Target:
    """A ball of the finding's diameter, of no voxel where that is not known."""
    index = np.linalg.solve(grid.affine, [*found.centre_mm, 1.0])[:3]
    if (index < -0.5).any() or (index > np.array(grid.values.shape) - 0.5).any():
        x, y, z = found.centre_mm
        raise ReadingsError("findings", [f"{x:g},{y:g},{z:g} lies outside the image; give LPS mm as DICOM has them"])
    voxel_mm3 = abs(float(np.linalg.det(grid.affine[:3, :3])))
    voxels = round(np.pi / 6 * (found.diameter_mm or 0.0) ** 3 / voxel_mm3)
    return Target((float(index[0]), float(index[1]), float(index[2])), voxels, 1.0)


def _where(reading: Reading) -> str:
    return f"{reading.reader}, {reading.case}, {'with' if reading.assist else 'without'} assist"


def _first_problem(problem: Exception) -> str:
    return problem.problems[0] if isinstance(problem, ReadingsError) else str(problem)
