"""What the cases are: the paper's Table 1, with sizes, ages and grids (paper, page 3 and Figure 3)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any, TypeVar

from rich.table import Table

from training.check_cases import CheckedCase
from training.manifest import SPLITS
from training.metrics.case_score import SIZE_NAMES, size_class
from training.metrics.targets import MOST_VOXELS_DROPPED

Number = TypeVar("Number", int, float)

NO_SPLIT = "no split"
ALL = "all"
NUMBERS_OF_ANEURYSMS = ("0", "1", "2", ">=3")
DASH = "–"


@dataclass(frozen=True)
class Spread:
    """Of known values; mean is None of none, sd (of a sample, n - 1) of fewer than two."""

    count: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class SplitStatistics:
    """The cases of one split, or all.

    aneurysms: those of the labelled cases, the specks among them: components of at most 10 voxels, which evaluation
    does not count. ruptured, non_ruptured: cases with an aneurysm of which the manifest says so. containing: labelled
    cases by their number of aneurysms; sizes: aneurysms by class of equivalent diameter; diameter_mm, age_years: where
    known. Ranges are (least, most); spacings in mm, pixel_spacing_mm of rows and columns alike.
    """

    split: str
    cases: int
    patients: int
    unlabelled: int
    aneurysms: int
    specks: int
    ruptured: int
    non_ruptured: int
    male: int
    female: int
    containing: dict[str, int]
    sizes: dict[str, int]
    diameter_mm: Spread
    age_years: Spread
    slices: tuple[int, int]
    slice_spacing_mm: tuple[float, float]
    pixel_spacing_mm: tuple[float, float]


@dataclass(frozen=True)
class CaseStatistics:
    """splits: those that have a case, train, validation and test first; total: all cases."""

    splits: tuple[SplitStatistics, ...]
    total: SplitStatistics

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def to_table(self) -> Table:
        """A column for each split and, where there are several, one for all."""
        columns = [*self.splits, self.total] if len(self.splits) > 1 else list(self.splits)
        table = Table("", *(one.split for one in columns))
        for name, show in _ROWS:
            table.add_row(name, *(show(one) for one in columns))
        return table


def case_statistics(checked: Sequence[CheckedCase]) -> CaseStatistics:
    """Counts the cases, at least one, that `check_cases` gave."""
    named = {one.case.split for one in checked}
    order = [name for name in SPLITS if name in named] + sorted(named - {*SPLITS, ""}) + [""] * ("" in named)
    splits = [_count(name or NO_SPLIT, [one for one in checked if one.case.split == name]) for name in order]
    return CaseStatistics(tuple(splits), _count(ALL, checked))


def _count(split: str, checked: Sequence[CheckedCase]) -> SplitStatistics:
    labelled = [one.aneurysms for one in checked if one.aneurysms is not None]
    aneurysms = [aneurysm for found in labelled for aneurysm in found]
    classes = [size_class(aneurysm.diameter_mm) for aneurysm in aneurysms]
    numbers = [min(len(found), len(NUMBERS_OF_ANEURYSMS) - 1) for found in labelled]
    may_have = [one.case.ruptured for one in checked if one.aneurysms != ()]
    sexes = [one.case.sex for one in checked]
    pixels = [size for one in checked for size in one.spacing_mm[1:]]
    return SplitStatistics(
        split=split,
        cases=len(checked),
        patients=len({one.case.patient for one in checked}),
        unlabelled=len(checked) - len(labelled),
        aneurysms=len(aneurysms),
        specks=sum(aneurysm.voxels <= MOST_VOXELS_DROPPED for aneurysm in aneurysms),
        ruptured=may_have.count("yes"),
        non_ruptured=may_have.count("no"),
        male=sexes.count("M"),
        female=sexes.count("F"),
        containing={name: numbers.count(number) for number, name in enumerate(NUMBERS_OF_ANEURYSMS)},
        sizes={name: classes.count(number) for number, name in enumerate(SIZE_NAMES)},
        diameter_mm=_spread([aneurysm.diameter_mm for aneurysm in aneurysms]),
        age_years=_spread([one.case.age for one in checked if one.case.age is not None]),
        slices=_range([one.shape[0] for one in checked]),
        slice_spacing_mm=_range([one.spacing_mm[0] for one in checked]),
        pixel_spacing_mm=_range(pixels),
    )


def _spread(values: Sequence[float]) -> Spread:
    return Spread(len(values), mean(values) if values else None, stdev(values) if len(values) > 1 else None)


def _range(values: Sequence[Number]) -> tuple[Number, Number]:
    return min(values), max(values)


def _shown(spread: Spread) -> str:
    if spread.mean is None:
        return DASH
    return f"{spread.mean:.1f}" if spread.sd is None else f"{spread.mean:.1f} ± {spread.sd:.1f}"


def _limits(least_and_most: tuple[float, float]) -> str:
    least, most = (f"{value:.4g}" for value in least_and_most)
    return least if least == most else f"{least}{DASH}{most}"


_ROWS: tuple[tuple[str, Callable[[SplitStatistics], str]], ...] = (
    ("cases", lambda one: str(one.cases)),
    ("patients", lambda one: str(one.patients)),
    ("cases without a label", lambda one: str(one.unlabelled)),
    ("aneurysms (IAs)", lambda one: str(one.aneurysms)),
    ("  of 10 voxels or fewer", lambda one: str(one.specks)),
    ("cases with ruptured IAs", lambda one: str(one.ruptured)),
    ("cases with non-ruptured IAs", lambda one: str(one.non_ruptured)),
    ("male", lambda one: str(one.male)),
    ("female", lambda one: str(one.female)),
    ("cases with 0 IAs", lambda one: str(one.containing["0"])),
    ("cases with 1 IA", lambda one: str(one.containing["1"])),
    ("cases with 2 IAs", lambda one: str(one.containing["2"])),
    ("cases with 3 IAs or more", lambda one: str(one.containing[">=3"])),
    *((f"IAs {name}", lambda one, name=name: str(one.sizes[name])) for name in SIZE_NAMES),
    ("IA diameter, mm", lambda one: _shown(one.diameter_mm)),
    ("age, years", lambda one: _shown(one.age_years)),
    ("slices", lambda one: _limits(one.slices)),
    ("slice spacing, mm", lambda one: _limits(one.slice_spacing_mm)),
    ("pixel spacing, mm", lambda one: _limits(one.pixel_spacing_mm)),
)
