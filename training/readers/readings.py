"""The readings of a reader study as CSV: one row for each case that one radiologist read once.

| column | content |
|---|---|
| reader | a pseudonym |
| level | resident or attending |
| institution | of the reader |
| case | its name in the manifest |
| assist | yes where the reader saw the results of the model, else no |
| seconds | time of reading, without loading; empty where it was not taken |
| findings | `none`; or `x,y,z` of each aneurysm's centre in LPS mm, with `;` between two; or `x,y,z,d` with its diameter in mm; or `mask` |
| mask | optional: a NIfTI file on the grid of the case's label, taken from the folder of the CSV |

`none` says that the reader found nothing; an empty field is refused, since it may be forgotten. `mask` takes the
findings from the mask: its components, as those of a prediction.
"""  # noqa: E501

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

LEVELS = ("attending", "resident")
REQUIRED = ("reader", "level", "institution", "case", "assist", "seconds", "findings")
COLUMNS = (*REQUIRED, "mask")
NOTHING, FROM_MASK = "none", "mask"
ASSIST = {"yes": True, "no": False}


class ReadingsError(Exception):
    """Readings cannot be used; `problems` lists everything that is wrong, each with its row and what to do."""

    def __init__(self, where: Path | str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{where}: {count}\n" + "\n".join(f"- {problem}" for problem in problems))


@dataclass(frozen=True)
class Found:
    """An aneurysm that a reader marked. centre_mm: (x, y, z), LPS; diameter_mm: None where only a point was set."""

    centre_mm: tuple[float, float, float]
    diameter_mm: float | None = None


@dataclass(frozen=True)
class Reading:
    """One reader's reading of one case. findings: None where they are those of the mask."""

    reader: str
    level: str
    institution: str
    case: str
    assist: bool
    seconds: float | None
    findings: tuple[Found, ...] | None
    mask: Path | None = None


def read_readings(path: Path) -> tuple[Reading, ...]:
    """The rows of a CSV. Raises ReadingsError with every problem of the file; masks are not looked at."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise ReadingsError(path, [f"it cannot be read ({problem})"]) from problem
    problems = [f"column {name!r} is missing" for name in REQUIRED if name not in names]
    problems += [f"column {name!r} is unknown; there are {', '.join(COLUMNS)}" for name in names if name not in COLUMNS]
    if problems:
        raise ReadingsError(path, problems)
    readings = [_reading(row, f"row {number}", path.parent, problems) for number, row in enumerate(rows, start=2)]
    if not rows:
        problems.append("it lists no reading")
    problems += _contradictions(readings)
    if problems:
        raise ReadingsError(path, problems)
    return tuple(readings)


def write_readings(path: Path, readings: Iterable[Reading]) -> None:
    """Writes CSV; a mask below its folder is named relative to it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(_row(reading, path.parent) for reading in readings)


def _reading(row: Mapping[str, str | None], where: str, folder: Path, problems: list[str]) -> Reading:
    if None in row:
        problems.append(f"{where}: it has more fields than the header; put findings with commas in double quotes")
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    problems += [f"{where}: {name} is empty" for name in ("reader", "case") if not values[name]]
    problems += [
        f"{where}: {name} is {values[name]!r}, not one of {', '.join(known)}"
        for name, known in (("level", LEVELS), ("assist", tuple(ASSIST)))
        if values[name] not in known
    ]
    mask = folder / values["mask"] if values["mask"] else None
    if values["findings"] == FROM_MASK and mask is None:
        problems.append(f"{where}: findings are to come from the mask, but no mask is named")
    return Reading(
        reader=values["reader"],
        level=values["level"],
        institution=values["institution"],
        case=values["case"],
        assist=ASSIST.get(values["assist"], False),
        seconds=_seconds(values["seconds"], where, problems),
        findings=_findings(values["findings"], where, problems),
        mask=mask,
    )


def _seconds(text: str, where: str, problems: list[str]) -> float | None:
    if not text:
        return None
    numbers = _numbers(text)
    if numbers is None or len(numbers) != 1 or numbers[0] <= 0:
        problems.append(f"{where}: seconds is {text!r}, not a number above 0; leave it empty where it was not taken")
        return None
    return numbers[0]


def _findings(text: str, where: str, problems: list[str]) -> tuple[Found, ...] | None:
    if text == FROM_MASK:
        return None
    if text == NOTHING:
        return ()
    found = []
    for part in text.split(";"):
        numbers = _numbers(part)
        if numbers is None or len(numbers) not in (3, 4) or (len(numbers) == 4 and numbers[3] <= 0):
            problems.append(f"{where}: finding {part.strip()!r} is no x,y,z or x,y,z,diameter; write none for nothing")
            return ()
        x, y, z, *diameter = numbers
        found.append(Found((x, y, z), diameter[0] if diameter else None))
    return tuple(found)


def _numbers(text: str) -> list[float] | None:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    return numbers if all(map(isfinite, numbers)) else None


def _contradictions(readings: Sequence[Reading]) -> list[str]:
    """Readers of two kinds, and readings that are there twice."""
    problems, kinds, seen = [], dict[str, tuple[str, str]](), set[tuple[str, str, bool]]()
    for number, reading in enumerate(readings, start=2):
        kind = (reading.level, reading.institution)
        if kinds.setdefault(reading.reader, kind) != kind:
            problems.append(f"row {number}: reader {reading.reader} has another level or institution in a row above")
        key = (reading.reader, reading.case, reading.assist)
        if key in seen:
            problems.append(f"row {number}: reader {reading.reader} has read {reading.case} so already in a row above")
        seen.add(key)
    return problems


def _row(reading: Reading, folder: Path) -> dict[str, str]:
    mask = reading.mask
    return {
        "reader": reading.reader,
        "level": reading.level,
        "institution": reading.institution,
        "case": reading.case,
        "assist": "yes" if reading.assist else "no",
        "seconds": "" if reading.seconds is None else f"{reading.seconds:g}",
        "findings": _findings_text(reading.findings),
        "mask": "" if mask is None else str(mask.relative_to(folder) if mask.is_relative_to(folder) else mask),
    }


def _findings_text(findings: tuple[Found, ...] | None) -> str:
    if findings is None:
        return FROM_MASK
    texts = []
    for found in findings:
        numbers = [*found.centre_mm, *([] if found.diameter_mm is None else [found.diameter_mm])]
        texts.append(",".join(f"{number:.2f}" for number in numbers))
    return ";".join(texts) or NOTHING
