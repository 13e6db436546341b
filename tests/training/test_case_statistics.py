"""Table 1 of a handful of cases, counted by hand."""

import json
import math
from io import StringIO
from pathlib import Path

import pytest
from matplotlib.image import imread
from rich.console import Console

from training.case_statistics import Spread, case_statistics
from training.check_cases import Aneurysm, CheckedCase
from training.draw_statistics import draw_statistics
from training.manifest import ManifestCase


def _aneurysm(diameter_mm: float, voxels: int = 100) -> Aneurysm:
    return Aneurysm(voxels, math.pi / 6 * diameter_mm**3)


def _checked(
    name: str,
    diameters: tuple[float, ...] | None,
    slices: int = 300,
    spacing: tuple[float, float, float] = (0.6, 0.4, 0.5),
    **entries: object,
) -> CheckedCase:
    case = ManifestCase(name, Path(f"{name}.nii"), None, **({"patient": name} | entries))  # type: ignore[arg-type]
    aneurysms = None if diameters is None else tuple(map(_aneurysm, diameters))
    return CheckedCase(case, (slices, 512, 512), spacing, aneurysms)


CASES = [
    _checked("a", (2.0,), split="train", sex="F", ruptured="no", age=50.0),
    _checked("b", (5.0, 7.001), 152, split="train", sex="M", ruptured="yes", age=60.0, patient="a"),
    _checked("c", (6.0, 4.0, 8.0, 9.0), 1310, (1.0, 0.3, 0.3), split="train", sex="F", ruptured="yes"),
    _checked("d", None, split="train", sex="O"),
    _checked("e", (), split="test", sex="M", ruptured="no", age=89.0),
    _checked("f", (), split="test-b"),
]


def test_a_split_is_counted() -> None:
    train = case_statistics(CASES).splits[0]
    assert (train.split, train.cases, train.patients, train.unlabelled) == ("train", 4, 3, 1)
    assert (train.aneurysms, train.specks) == (7, 0)
    assert (train.ruptured, train.non_ruptured, train.male, train.female) == (2, 1, 1, 2)
    assert train.containing == {"0": 0, "1": 1, "2": 1, ">=3": 1}
    assert train.sizes == {"<3 mm": 1, "3-7 mm": 3, ">7 mm": 3}
    assert train.diameter_mm.count == 7
    assert train.diameter_mm.mean == pytest.approx(41.001 / 7)
    assert train.age_years == Spread(2, 55.0, pytest.approx(math.sqrt(50)))  # of a sample
    assert train.slices == (152, 1310)
    assert train.slice_spacing_mm == (0.6, 1.0)
    assert train.pixel_spacing_mm == (0.3, 0.5)


def test_a_case_without_aneurysms_contains_no_unruptured_one() -> None:
    test = case_statistics(CASES).splits[1]
    assert (test.cases, test.non_ruptured, test.containing["0"]) == (1, 0, 1)
    assert test.diameter_mm == Spread(0, None, None)
    assert test.age_years == Spread(1, 89.0, None)


def test_splits_come_in_their_order_and_all_together() -> None:
    statistics = case_statistics([*CASES[::-1], _checked("g", (3.0,), split="validation"), _checked("h", (1.0,))])
    assert [one.split for one in statistics.splits] == ["train", "validation", "test", "test-b", "no split"]
    assert (statistics.total.split, statistics.total.cases, statistics.total.aneurysms) == ("all", 8, 9)


def test_components_that_evaluation_drops_are_counted_apart() -> None:
    case = CheckedCase(CASES[0].case, (1, 1, 1), (1.0, 1.0, 1.0), (_aneurysm(2, 10), _aneurysm(2, 11)))
    statistics = case_statistics([case])
    assert (statistics.total.aneurysms, statistics.total.specks) == (2, 1)


def test_as_json_and_as_a_table() -> None:
    statistics = case_statistics(CASES)
    document = json.loads(json.dumps(statistics.to_json()))
    assert document["splits"][0]["containing"] == {"0": 0, "1": 1, "2": 1, ">=3": 1}
    text = StringIO()
    Console(file=text, width=200).print(statistics.to_table())
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.getvalue().splitlines() if "│" in line]
    shown = {name: cells for name, *cells in rows}
    assert shown["aneurysms (IAs)"] == ["7", "0", "0", "7"]
    assert shown["cases with 3 IAs or more"] == ["1", "0", "0", "1"]
    assert shown["slices"] == ["152–1310", "300", "300", "152–1310"]
    assert shown["age, years"] == ["55.0 ± 7.1", "89.0", "–", "66.3 ± 20.3"]


def test_the_picture_has_a_row_for_each_split_and_shows_only_what_is_known(tmp_path: Path) -> None:
    for name, cases in (("three", CASES), ("one", CASES[:4]), ("fewer", CASES[:3])):
        draw_statistics(tmp_path / f"{name}.png", cases)
    three, one, fewer = (imread(tmp_path / f"{name}.png") for name in ("three", "one", "fewer"))
    assert three.shape[1] == one.shape[1] == 1080
    assert three.shape[0] - one.shape[0] == pytest.approx(2 * 2.1 * 120, abs=1)
    assert (one == fewer).all()  # a case that tells neither size nor age draws nothing
