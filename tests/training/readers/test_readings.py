"""The CSV of readings: there and back, and everything that is refused."""

from pathlib import Path

import pytest

from training.readers.readings import Found, Reading, ReadingsError, read_readings, write_readings

HEADER = "reader,level,institution,case,assist,seconds,findings,mask\n"


def _read(folder: Path, *rows: str, header: str = HEADER) -> tuple[Reading, ...]:
    (folder / "r.csv").write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return read_readings(folder / "r.csv")


def test_there_and_back(tmp_path: Path) -> None:
    readings = (
        Reading("r1", "resident", "A", "c1", False, 147.5, (Found((1.5, -2.0, 3.25)), Found((4, 5, 6), 7.5))),
        Reading("r1", "resident", "A", "c2", True, None, ()),
        Reading("r2", "attending", "", "c1", True, 60.0, None, tmp_path / "masks" / "c1.nii.gz"),
    )
    write_readings(tmp_path / "r.csv", readings)
    assert read_readings(tmp_path / "r.csv") == readings
    text = (tmp_path / "r.csv").read_text(encoding="utf-8")
    assert '"1.50,-2.00,3.25;4.00,5.00,6.00,7.50"' in text and ",none," in text and "masks/c1.nii.gz" in text


def test_the_mask_column_may_be_left_out(tmp_path: Path) -> None:
    (reading,) = _read(tmp_path, 'r,resident,A,c,no,9,"1,2,3"', header=HEADER.replace(",mask", ""))
    assert reading.findings == (Found((1.0, 2.0, 3.0)),) and reading.mask is None


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("r,resident,A,c,no,9,,", "write none"),
        ("r,resident,A,c,no,9,1 2 3,", "finding '1 2 3'"),
        ('r,resident,A,c,no,9,"1,2,nan",', "finding '1,2,nan'"),
        ('r,resident,A,c,no,9,"1,2,3,0",', "finding '1,2,3,0'"),
        ("r,resident,A,c,no,9,1,2,3", "more fields than the header"),
        ("r,resident,A,c,no,9,mask,", "no mask is named"),
        ("r,,A,c,no,9,none,", "level is ''"),
        ("r,resident,A,c,maybe,9,none,", "assist is 'maybe'"),
        ("r,resident,A,c,no,-1,none,", "seconds is '-1'"),
        ("r,resident,A,c,no,2 min,none,", "seconds is '2 min'"),
        (",resident,A,c,no,9,none,", "reader is empty"),
    ],
)
def test_refused(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(ReadingsError, match="row 2") as refused:
        _read(tmp_path, row)
    assert problem in str(refused.value)


def test_rows_that_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ReadingsError) as refused:
        _read(tmp_path, "r,resident,A,c,no,9,none,", "r,attending,A,d,no,9,none,", "r,resident,A,c,no,8,none,")
    assert [problem.split(":")[0] for problem in refused.value.problems] == ["row 3", "row 4"]


def test_header_and_emptiness(tmp_path: Path) -> None:
    with pytest.raises(ReadingsError, match="column 'seconds' is missing"):
        _read(tmp_path, header=HEADER.replace("seconds", "minutes"))
    with pytest.raises(ReadingsError, match="lists no reading"):
        _read(tmp_path)
    with pytest.raises(ReadingsError, match="cannot be read"):
        read_readings(tmp_path / "absent.csv")
