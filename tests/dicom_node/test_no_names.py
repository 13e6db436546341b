"""Values of a patient that break their rules are no reason to quote them, in the audit log or in log lines."""

from pathlib import Path

import pydicom
import pytest
import structlog
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from storage.audit import entries
from storage.overview import overview
from storage.states import SeriesState
from tests.support.head_series import change
from tests.support.pipeline import one_lesion, open_pipeline, small_series

NAME, NUMBER, BIRTH_DATE, SEX = 0x00100010, 0x00100020, 0x00100030, 0x00100040
VR = {NAME: "PN", NUMBER: "LO", BIRTH_DATE: "DA", SEX: "CS"}
OUT_OF_RULE = {
    "a name of five groups and 90 letters": {NAME: b"Qxjz^" + b"x" * 90 + b"=a=b=c=d "},
    "a number of 80 letters": {NUMBER: b"QXJZQXJZ" * 10},
    "a line break in the number": {NUMBER: b"QXJZ\r\nQXJZ"},
    "a birth date that is none": {BIRTH_DATE: b"QXJZQXJZ"},
    "a sex that is none": {SEX: b"QXJZQXJZ" * 4},
}


@pytest.mark.parametrize("values", OUT_OF_RULE.values(), ids=OUT_OF_RULE.keys())
def test_values_out_of_rule_are_not_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[int, bytes]
) -> None:
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.IGNORE)  # as in logs.py

    def damage(image: Dataset) -> None:
        for tag, value in values.items():
            image._dict[Tag(tag)] = RawDataElement(Tag(tag), VR[tag], len(value), value, 0, False, True)

    series = small_series(tmp_path)
    for file in series.files:
        change(file, damage)
    with open_pipeline(tmp_path / "node") as pipeline, structlog.testing.capture_logs() as lines:
        pipeline.receive(series.files)
        pipeline.quiet()
        pipeline.assemble()
        if pipeline.row(series).state == SeriesState.QUEUED:
            pipeline.conclude(series, one_lesion(series))
        pipeline.publish()
        said = [*lines, *entries(pipeline.db), overview(pipeline.db), pipeline.row(series)]
    assert len(lines) >= 2
    assert "QXJZ" in series.files[0].read_bytes().decode("latin-1").upper()
    assert [one for one in said if "qxjz" in str(one).lower()] == []
