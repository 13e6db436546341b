"""What peers, files and libraries have said reaches the administrator's terminal without control characters."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from dicom_node.commands import purge
from dicom_node.printable import printable
from storage.commitment_requests import CommitmentRequest, due_requests, postpone_report, record_request
from storage.retention import Cause, Deletion, Kind
from storage.schema import commitment_requests, deliveries, series
from storage.states import SeriesState
from tests.dicom_node.commands.called_node import Site, run
from tests.support.head_series import HeadSeries

HOSTILE = "full\x1b]0;owned\x07\x1b[2J\nnode: running\u202e"
SHOWN = "full?]0;owned??[2J?node: running?"


def lines(site: Site, *arguments: str) -> list[str]:
    """Of what a command prints, once it holds nothing but printable characters and ends of lines."""
    printed = site.run(*arguments).stdout
    assert all(line.isprintable() for line in printed.split("\n")), repr(printed)
    return [line.strip() for line in printed.split("\n")]


@pytest.mark.parametrize(("text", "shown"), [(HOSTILE, SHOWN), ("Bücher: 5 µm", "Bücher: 5 µm"), ("", "")])
def test_control_characters_become_question_marks(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_of_a_delivery(site: Site, delivering: HeadSeries) -> None:
    with site.pipeline.db.transaction() as connection:
        connection.execute(update(deliveries).values(last_error=HOSTILE))
        connection.execute(update(series).values(sender_ae_title="CT\x1b1"))
    printed = lines(site, "status")
    assert f"last error: {SHOWN}" in printed
    assert "8 instances from CT?1" in printed


def test_of_a_series_that_has_failed(site: Site, failed: HeadSeries) -> None:
    with site.pipeline.db.transaction() as connection:
        connection.execute(update(series).values(reason_detail=HOSTILE))
    assert any(line.endswith(f"attempts-used-up: {SHOWN}") for line in lines(site, "status"))


def test_of_a_series_that_is_tried_again(site: Site, received: HeadSeries) -> None:
    later = site.pipeline.clock() + timedelta(days=36500)
    with site.pipeline.db.transaction() as connection:
        connection.execute(update(series).values(last_error=HOSTILE, not_before=later))
    assert any(line.endswith(f": {SHOWN}") for line in lines(site, "status") if line.startswith("next try"))


def test_of_a_requester_of_storage_commitment(site: Site) -> None:
    db, clock = site.pipeline.db, site.pipeline.clock
    record_request(db, CommitmentRequest("1.9", "CT1", "192.0.2.7", (("1.2", "1.3"),)), clock())
    (row,) = due_requests(db, clock())
    postpone_report(db, row, HOSTILE, timedelta(minutes=1), 9, clock())
    with db.transaction() as connection:
        connection.execute(update(commitment_requests).values(calling_ae_title="CT\x1b1"))
    printed = lines(site, "status")
    assert f"last error: {SHOWN}" in printed
    assert any(line.startswith("commitment for CT?1: 1 to be reported") for line in printed)


def test_of_a_file_that_the_doctor_names(site: Site) -> None:
    stray = site.pipeline.folders.results / "stray\x1b[2J.dcm"
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"")
    assert "results/stray?[2J.dcm" in lines(site, "doctor")


def test_of_a_series_that_is_purged(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    now = site.pipeline.clock()
    gone = Deletion(Kind.IMAGES, Cause.AGE, HOSTILE, SeriesState.DONE, now, 8, 100)
    purge._print([gone], [True], dry_run=False, as_json=False)
    assert SHOWN in [line.strip() for line in capsys.readouterr().out.split("\n")]


def test_of_an_error_that_ends_a_command() -> None:
    said = run("reasons", HOSTILE).stderr
    assert said.startswith(f"error: {SHOWN}: no such reason")
