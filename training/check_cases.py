"""Reads every case of a manifest and says all that is wrong with any of them, before a training finds out."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from glianet.errors import GliaNetError
from training.hounsfield_checks import hounsfield_problems
from training.manifest import CasesError, ManifestCase
from training.metrics.boxes import box_of
from training.nifti import Grid, read_grid

GEOMETRY_TOLERANCE_MM = 1e-3
"""Image and label may differ by it in every entry of the affine: more than writing float32 loses, far below a voxel."""

MOST_AGE_YEARS = 120
SEXES = ("F", "M", "O", "")
RUPTURED = ("yes", "no", "")
MOST_NAMED = 5
"""Wrong label values that are told by name."""

SLICES_AT_ONCE = 32
"""Voxels are looked at so many slices at a time: memory does not grow with the volume."""

_NEIGHBOURS = np.ones((3, 3, 3), bool)

Progress = Callable[[str, int, int], None]
"""Told what has been read, how many cases so far, of how many."""


@dataclass(frozen=True)
class Aneurysm:
    """A 26-connected component of a label."""

    voxels: int
    volume_mm3: float

    @property
    def diameter_mm(self) -> float:
        """Of the sphere of equal volume."""
        return float((6 * self.volume_mm3 / np.pi) ** (1 / 3))


@dataclass(frozen=True)
class CheckedCase:
    """A case whose files were read and found to be in order.

    shape: (D, H, W); spacing_mm along the same. aneurysms: in the order of their first voxel; None where the case has
    no label, so that nothing is known of them.
    """

    case: ManifestCase
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    aneurysms: tuple[Aneurysm, ...] | None


def check_cases(cases: Sequence[ManifestCase], progress: Progress | None = None) -> tuple[CheckedCase, ...]:
    """The cases with what their files hold, one at a time in memory.

    An image must hold HU (see `hounsfield_problems`); a label whole numbers from 0, on the grid of its image. No file
    and no image may serve two cases, no patient stand in two splits. Raises CasesError with every problem of every
    case.
    """
    problems = [*_shared_files(cases), *_divided_patients(cases)]
    checked: list[CheckedCase] = []
    first_with: dict[bytes, str] = {}
    for number, case in enumerate(cases, start=1):
        problems += [f"{case.case}: {problem}" for problem in _entry_problems(case)]
        found = _check_case(case, first_with, problems)
        if found:
            checked.append(found)
        if progress:
            progress(case.case, number, len(cases))
    if problems:
        raise CasesError("manifest", problems)
    return tuple(checked)


def _shared_files(cases: Sequence[ManifestCase]) -> list[str]:
    used = defaultdict(list)
    for case in cases:
        for kind, path in (("image", case.image), ("label", case.label)):
            if path:
                used[path.resolve()].append(f"{kind} of {case.case}")
    return [
        f"{path} is used {len(users)} times ({', '.join(users)}); give every case files of its own"
        for path, users in used.items()
        if len(users) > 1
    ]


def _divided_patients(cases: Sequence[ManifestCase]) -> list[str]:
    splits = defaultdict(set)
    for case in cases:
        if case.split:
            splits[case.patient].add(case.split)
    return [
        f"patient {patient} is in the splits {', '.join(sorted(found))}; put all cases of a patient into one"
        for patient, found in splits.items()
        if len(found) > 1
    ]


def _entry_problems(case: ManifestCase) -> Iterable[str]:
    if case.sex not in SEXES:
        yield f"sex {case.sex!r} is none of F, M, O; leave it empty where it is not known"
    if case.ruptured not in RUPTURED:
        yield f"ruptured {case.ruptured!r} is neither yes nor no; leave it empty where it is not known"
    if case.age is not None and not 0 <= case.age <= MOST_AGE_YEARS:
        yield f"an age of {case.age:g} years; leave it empty where it is not known"


def _check_case(case: ManifestCase, first_with: dict[bytes, str], problems: list[str]) -> CheckedCase | None:
    """Adds to `problems`; None where there were any."""
    found: list[str] = []
    image = _read(case.image, "image", found)
    label = _read(case.label, "label", found) if case.label else None
    if image:
        found += [f"image {case.image}: {problem}" for problem in hounsfield_problems(image.values)]
        other = first_with.setdefault(_digest(image.values), case.case)
        if other != case.case:
            found.append(f"its image holds the same voxels as that of {other}; leave one of the two out")
    whole = _whole_numbers(label, found) if label else None
    if image and label:
        found += _grid_problems(image, label)
    aneurysms = _aneurysms(label, whole) if label and whole is not None else None
    if case.ruptured == "yes" and aneurysms == ():
        found.append("ruptured is yes, but the label holds no aneurysm")
    problems += [f"{case.case}: {problem}" for problem in found]
    if found or image is None:
        return None
    depth, height, width = image.values.shape
    return CheckedCase(case, (depth, height, width), image.spacing_mm, aneurysms)


def _read(path: Path, kind: str, problems: list[str]) -> Grid | None:
    try:
        return read_grid(path)
    except (GliaNetError, OSError, EOFError, ValueError) as problem:
        problems.append(f"the {kind} cannot be read: {problem}")
        return None


def _digest(values: NDArray[np.generic]) -> bytes:
    hasher = sha256(repr(values.shape).encode())
    for first in range(0, len(values), SLICES_AT_ONCE):
        hasher.update(values[first : first + SLICES_AT_ONCE].astype(np.float32).tobytes())
    return hasher.digest()


def _whole_numbers(label: Grid, problems: list[str]) -> NDArray[np.bool_] | None:
    """The mask (D, H, W) of what is not background; None where a value is no whole number from 0."""
    held: NDArray[Any] = label.values
    mask, wrong = np.zeros(held.shape, bool), np.zeros(0)
    for first in range(0, len(mask), SLICES_AT_ONCE):
        values = held[first : first + SLICES_AT_ONCE]
        bad = (values < 0) | (values != np.floor(values))
        wrong = np.unique(np.append(wrong, values[bad]))
        mask[first : first + SLICES_AT_ONCE] = values > 0
    if not len(wrong):
        return mask
    named = ", ".join(f"{value:g}" for value in wrong[:MOST_NAMED]) + (", ..." if len(wrong) > MOST_NAMED else "")
    problems.append(f"the label holds {named}; it must hold whole numbers, 0 for background")
    return None


def _grid_problems(image: Grid, label: Grid) -> Iterable[str]:
    if image.values.shape != label.values.shape:
        yield f"the image has shape {image.values.shape}, the label {label.values.shape}"
        return
    furthest = float(np.abs(image.affine - label.affine).max())
    if not furthest <= GEOMETRY_TOLERANCE_MM:
        yield f"image and label lie differently in the patient: their affines differ by up to {furthest:.3g} mm"


def _aneurysms(label: Grid, mask: NDArray[np.bool_]) -> tuple[Aneurysm, ...]:
    box = box_of(mask)
    if box is None:
        return ()
    voxel_mm3 = abs(float(np.linalg.det(label.affine[:3, :3])))
    components, count = ndimage.label(mask[box], _NEIGHBOURS)
    voxels = np.bincount(components.ravel(), minlength=count + 1)[1:]
    return tuple(Aneurysm(int(one), int(one) * voxel_mm3) for one in voxels)
