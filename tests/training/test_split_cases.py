"""Splits counted by hand."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from training.check_cases import Aneurysm, CheckedCase
from training.manifest import CasesError, ManifestCase
from training.split_cases import split_cases


def _cases(count: int, institution: str = "North", per_patient: int = 1) -> list[ManifestCase]:
    return [
        ManifestCase(f"{institution} {n}.{m}", Path("i"), None, f"{institution} patient {n}", institution)
        for n in range(count)
        for m in range(per_patient)
    ]


def _checked(case: ManifestCase, positive: bool) -> CheckedCase:
    return CheckedCase(case, (1, 1, 1), (1.0, 1.0, 1.0), (Aneurysm(20, 20.0),) if positive else ())


def _counts(cases: tuple[ManifestCase, ...], institution: str = "North") -> dict[str, int]:
    return dict(Counter(case.split for case in cases if case.institution == institution))


def test_each_institution_is_divided_by_itself() -> None:
    split = split_cases([*_cases(20), *_cases(10, "South")], seed=1)
    assert _counts(split) == {"train": 16, "validation": 2, "test": 2}
    assert _counts(split, "South") == {"train": 8, "validation": 1, "test": 1}


def test_whole_shares_are_whole_in_floating_point_too() -> None:
    fractions = {"train": 0.71, "test": 0.29}  # 0.29 * 100 is a little less than 29
    assert _counts(split_cases(_cases(100), seed=1, fractions=fractions)) == {"train": 71, "test": 29}


def test_those_left_over_go_where_most_lack() -> None:
    """Of 5 patients 4 train; the fifth validates (both lack half of one), then tests (1 lacks), then validates."""
    cases = [case for name in "ABC" for case in _cases(5, name)]
    split = split_cases(cases, seed=1)
    assert _counts(split, "A") == {"train": 4, "validation": 1}
    assert _counts(split, "B") == {"train": 4, "test": 1}
    assert _counts(split, "C") == {"train": 4, "validation": 1}


def test_a_patient_is_never_divided() -> None:
    split = split_cases(_cases(20, per_patient=3), seed=4)
    assert _counts(split) == {"train": 48, "validation": 6, "test": 6}
    assert all(len({case.split for case in split if case.patient == one.patient}) == 1 for one in split)


def test_the_seed_decides_and_the_order_does_not() -> None:
    cases = _cases(30, per_patient=2)
    split = split_cases(cases, seed=7)
    assert [replace(case, split="") for case in split] == cases
    shuffled = random.Random(3).sample(cases, len(cases))
    assert set(split_cases(shuffled, seed=7)) == set(split)
    assert set(split_cases(cases, seed=8)) != set(split)


def test_a_split_that_is_there_stays_and_takes_the_patients_other_cases_along() -> None:
    cases = _cases(10, per_patient=2)
    cases[0] = replace(cases[0], split="test-external")
    split = split_cases(cases, seed=1, fractions={"train": 2 / 3, "test": 1 / 3})
    assert [case.split for case in split[:2]] == ["test-external"] * 2
    assert _counts(split) == {"test-external": 2, "train": 12, "test": 6}


def test_cases_with_and_without_aneurysms_are_divided_alike() -> None:
    cases = _cases(40)
    checked = [_checked(case, number < 10) for number, case in enumerate(cases)]
    split = split_cases(cases, seed=1, checked=checked)
    assert Counter(case.split for case in split[:10]) == {"train": 8, "validation": 1, "test": 1}
    assert Counter(case.split for case in split[10:]) == {"train": 24, "validation": 3, "test": 3}


def test_a_patient_in_two_splits_is_refused() -> None:
    cases = _cases(5, per_patient=2)
    cases[0], cases[1] = replace(cases[0], split="train"), replace(cases[1], split="test")
    with pytest.raises(CasesError, match=r"patient North patient 0 is in train and, by North 0\.1, in test"):
        split_cases(cases, seed=1)


def test_no_split_is_left_empty() -> None:
    with pytest.raises(CasesError, match="test would be empty"):
        split_cases(_cases(2), seed=1)


@pytest.mark.parametrize(
    ("fractions", "told"),
    [
        ({"train": 0.8, "test": 0.1}, "add up to 0.9"),
        ({"train": 1.2, "test": -0.2}, "test=-0.2"),
        ({"training": 0.8, "test": 0.2}, "'training' is none of train"),
    ],
)
def test_fractions_must_make_sense(fractions: dict[str, float], told: str) -> None:
    with pytest.raises(CasesError, match=told):
        split_cases(_cases(20), seed=1, fractions=fractions)
