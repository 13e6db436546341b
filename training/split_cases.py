"""Divides patients among training, validation and test."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from math import floor, isclose
from types import MappingProxyType

from training.check_cases import CheckedCase
from training.manifest import SPLITS, CasesError, ManifestCase

FRACTIONS: Mapping[str, float] = MappingProxyType({"train": 0.8, "validation": 0.1, "test": 0.1})

DECIMALS = 6
"""To which two splits lack equally many patients."""

Stratum = tuple[str, bool | None]
"""Institutions of a patient; whether any of the patient's labels holds an aneurysm, None where it is not known."""


def split_cases(
    cases: Sequence[ManifestCase],
    *,
    seed: int,
    fractions: Mapping[str, float] = FRACTIONS,
    checked: Sequence[CheckedCase] = (),
) -> tuple[ManifestCase, ...]:
    """The same cases, in their order, each with a split; a case that has one keeps it.

    Patients are divided, never cases: all of a patient's go where one of them already is. `fractions` are of the
    patients that have no split yet, each institution's by themselves, and with `checked` also those with an aneurysm
    and those without by themselves. Of each such group a split gets its share rounded down; the patients left over go
    one by one to the split that, over the groups so far, is furthest below its share (the earlier one of `fractions`
    where two are). Who goes where follows from the seed and the patients' names, not from the order of the cases.

    Raises CasesError where a patient already is in two splits, fractions are wrong, or a split would stay empty.
    """
    _check_fractions(fractions)
    given = _given_splits(cases)
    splits = given | _divide(_strata(cases, given, checked), seed, fractions)
    empty = [name for name in fractions if name not in splits.values()]
    if empty:
        raise CasesError("split", [f"{name} would be empty: give more patients, or other fractions" for name in empty])
    return tuple(case if case.split else replace(case, split=splits[case.patient]) for case in cases)


def _check_fractions(fractions: Mapping[str, float]) -> None:
    problems = [
        f"{name!r} is none of {', '.join(SPLITS)}, test-NAME"
        for name in fractions
        if name not in SPLITS and not name.startswith("test-")
    ]
    wrong = [f"{name}={share:g}" for name, share in fractions.items() if not share > 0]
    problems += [f"{given}: a fraction must be above 0" for given in wrong]
    if not isclose(sum(fractions.values()), 1, abs_tol=1e-6):
        problems.append(f"the fractions add up to {sum(fractions.values()):g}, not to 1")
    if problems:
        raise CasesError("split", problems)


def _given_splits(cases: Sequence[ManifestCase]) -> dict[str, str]:
    """The split of each patient who has one."""
    splits: dict[str, str] = {}
    problems = []
    for case in cases:
        if case.split and splits.setdefault(case.patient, case.split) != case.split:
            problems.append(f"patient {case.patient} is in {splits[case.patient]} and, by {case.case}, in {case.split}")
    if problems:
        raise CasesError("split", problems)
    return splits


def _strata(
    cases: Sequence[ManifestCase], given: Mapping[str, str], checked: Sequence[CheckedCase]
) -> dict[Stratum, list[str]]:
    """The patients without a split by what they have in common."""
    found = {one.case.case: bool(one.aneurysms) for one in checked if one.aneurysms is not None}
    institutions, positive = defaultdict(set), defaultdict(set)
    for case in cases:
        institutions[case.patient].add(case.institution)
        if case.case in found:
            positive[case.patient].add(found[case.case])
    strata = defaultdict(list)
    for patient in sorted(institutions.keys() - given.keys()):
        known = any(positive[patient]) if positive[patient] else None
        strata[", ".join(sorted(institutions[patient])), known].append(patient)
    return strata


def _divide(strata: Mapping[Stratum, list[str]], seed: int, fractions: Mapping[str, float]) -> dict[str, str]:
    splits: dict[str, str] = {}
    lacking = dict.fromkeys(fractions, 0.0)  # patients, over the groups so far
    for stratum in sorted(strata, key=str):
        patients = sorted(strata[stratum], key=lambda patient: sha256(f"{seed}:{patient}".encode()).digest())
        counts = {name: floor(len(patients) * share) for name, share in fractions.items()}
        for name, share in fractions.items():
            lacking[name] += len(patients) * share - counts[name]
        for _ in range(len(patients) - sum(counts.values())):
            name = max(fractions, key=lambda name: round(lacking[name], DECIMALS))
            counts[name] += 1
            lacking[name] -= 1
        names = [name for name in fractions for _ in range(counts[name])]
        splits |= dict(zip(patients, names, strict=True))
    return splits
