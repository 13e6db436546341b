"""The list of cases to train on or to evaluate: one row for each, as CSV or TOML."""

import csv
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

SPLITS = ("train", "validation", "test")
"""What a case may be for; other names of test sets are accepted after "test-", such as "test-external-a"."""


class CasesError(Exception):
    """Cases cannot be used; `problems` lists everything that is wrong, each with its case and what to do."""

    def __init__(self, where: Path | str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{where}: {count}\n" + "\n".join(f"- {problem}" for problem in problems))


@dataclass(frozen=True)
class ManifestCase:
    """One case.

    case: its name, no two alike; image, label: NIfTI files, label None for a case without annotation; patient: a
    pseudonym; institution; split: one of `SPLITS` or "" where not yet given. age in years and sex ("F", "M", "O") where
    known, ruptured "yes" or "no" where known.
    """

    case: str
    image: Path
    label: Path | None
    patient: str
    institution: str = ""
    split: str = ""
    age: float | None = None
    sex: str = ""
    ruptured: str = ""


REQUIRED = ("case", "image", "label", "patient")
COLUMNS = tuple(field.name for field in fields(ManifestCase))


def read_manifest(path: Path) -> tuple[ManifestCase, ...]:
    """The cases of a manifest; relative file names are taken from its folder.

    CSV: a header with the names of `ManifestCase`, of which case, image, label and patient must be there. TOML: a table
    [[case]] for each. Raises CasesError with every problem of the file; the images are not looked at.
    """
    try:
        rows = _read_toml(path) if path.suffix.lower() == ".toml" else _read_csv(path)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, csv.Error) as problem:
        raise CasesError(path, [f"it cannot be read ({problem})"]) from problem
    problems: list[str] = []
    cases = [_case(row, number, path.parent, problems) for number, row in enumerate(rows, start=1)]
    problems += _repeated([case.case for case in cases])
    if not cases:
        problems.append("it lists no case")
    if problems:
        raise CasesError(path, problems)
    return tuple(cases)


def write_manifest(path: Path, cases: Iterable[ManifestCase]) -> None:
    """Writes CSV; files below its folder are named relative to it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({name: _text(getattr(case, name), path.parent) for name in COLUMNS} for case in cases)


def of_split(cases: Sequence[ManifestCase], split: str) -> tuple[ManifestCase, ...]:
    """The cases of one split; all cases for ""."""
    return tuple(case for case in cases if split in ("", case.split))


def _read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
        unknown = [name for name in reader.fieldnames or () if name not in COLUMNS]
        if missing or unknown:
            raise CasesError(path, [*(f"column {name!r} is missing" for name in missing), *map(_unknown, unknown)])
        return [dict(row) for row in reader]


def _read_toml(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        document = tomllib.load(file)
    rows: list[dict[str, Any]] = document.get("case", [])
    problems = [_unknown(name) for name in document if name != "case"]
    problems += [
        f"case {number}: {_unknown(name)}" for number, row in enumerate(rows, 1) for name in row if name not in COLUMNS
    ]
    if problems:
        raise CasesError(path, problems)
    return rows


def _case(row: Mapping[str, Any], number: int, folder: Path, problems: list[str]) -> ManifestCase:
    values = {name: str(row.get(name) if row.get(name) is not None else "").strip() for name in COLUMNS}
    where = values["case"] or f"row {number}"
    problems += [f"{where}: {name} is empty" for name in ("case", "image", "patient") if not values[name]]
    split = values["split"]
    if split and split not in SPLITS and not split.startswith("test-"):
        problems.append(f"{where}: split {split!r} is none of {', '.join(SPLITS)}, test-NAME")
    return ManifestCase(
        case=values["case"],
        image=folder / values["image"],
        label=folder / values["label"] if values["label"] else None,
        patient=values["patient"],
        institution=values["institution"],
        split=split,
        age=_age(values["age"], where, problems),
        sex=values["sex"],
        ruptured=values["ruptured"],
    )


def _age(text: str, where: str, problems: list[str]) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        problems.append(f"{where}: age {text!r} is no number of years")
        return None


def _repeated(names: Sequence[str]) -> list[str]:
    twice = sorted({name for name in names if name and names.count(name) > 1})
    return [f"{name}: more than one case has this name" for name in twice]


def _unknown(name: str) -> str:
    return f"{name!r} is unknown; there are {', '.join(COLUMNS)}"


def _text(value: object, folder: Path) -> str:
    if isinstance(value, Path):
        return str(value.relative_to(folder) if value.is_relative_to(folder) else value)
    return "" if value is None else str(value)
