"""A delivery is done when the destination has committed itself: archives of every kind, over real associations."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from dicom_node import commitment
from dicom_node.delivery import deliver_next
from dicom_node.destination_settings import DestinationSettings
from dicom_node.withheld import WITHHELD
from storage.audit import entries
from storage.series import get_series
from storage.states import DeliveryState, SeriesState
from tests.support.committing_archive import CommittingArchive, committing_archive
from tests.support.outbox import SERIES, Outbox, filled_outbox

WAIT_S = 15.0  # an archive that reports over the same association is waited for that long at most


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with filled_outbox(tmp_path) as filled:
        yield filled


def deliver(outbox: Outbox, archive: CommittingArchive, **changes: object) -> int:
    """As long as something is due; how often something was. Transaction UIDs are 2.25.1, 2.25.2 and so on."""
    numbers = count(len(list(entries(outbox.db, event="commitment-requested"))) + 1)
    wait_s = WAIT_S if archive.report_over == "same" else 0.01
    destination = DestinationSettings(
        name="pacs", ae_title="ARCHIVE", host="127.0.0.1", port=archive.port, storage_commitment=True,
        commitment_wait_s=wait_s, commitment_report_s=600.0, commitment_requests=2,
    ).model_copy(update=changes)  # fmt: skip
    done = 0
    while deliver_next(
        outbox.db, destination, outbox.settings, outbox.root, "router:1:pacs", lambda: outbox.now,
        lambda: f"2.25.{next(numbers)}",
    ):  # fmt: skip
        done += 1
    return done


def state(outbox: Outbox) -> SeriesState:
    return get_series(outbox.db, SERIES).state


def test_committed_over_the_same_association(outbox: Outbox) -> None:
    with committing_archive("same") as archive:
        assert deliver(outbox, archive) == 2  # sent, then asked about
        assert archive.reported.wait(WAIT_S)
    assert archive.stored == outbox.uids
    (asked,) = archive.asked
    assert asked.transaction_uid == "2.25.1"
    assert asked.instances == [(one.sop_class_uid, one.sop_instance_uid) for one in outbox.objects]
    assert archive.answers == [0x0000]
    assert outbox.row.state == DeliveryState.DELIVERED
    assert state(outbox) == SeriesState.DONE
    events = [entry.event for entry in entries(outbox.db)]
    assert events[-4:] == ["stored", "commitment-requested", "delivered", "series-done"]
    (audited,) = entries(outbox.db, event="delivered")
    assert (audited.actor, audited.detail["transaction_uid"]) == ("ARCHIVE", "2.25.1")


def test_without_the_setting_nobody_is_asked(outbox: Outbox) -> None:
    with committing_archive("same") as archive:
        assert deliver(outbox, archive, storage_commitment=False) == 1
    assert archive.asked == []
    assert state(outbox) == SeriesState.DONE


def test_an_archive_that_never_reports_is_asked_again_and_given_up_in_the_end(outbox: Outbox) -> None:
    with committing_archive() as archive:
        assert deliver(outbox, archive) == 2
        assert outbox.row.state == DeliveryState.STORED
        assert deliver(outbox, archive) == 0  # it is waited for
        assert state(outbox) == SeriesState.DELIVERING
        outbox.now += timedelta(seconds=600)
        assert deliver(outbox, archive) == 1
        outbox.now += timedelta(seconds=600)
        assert deliver(outbox, archive) == 1
    assert [asked.transaction_uid for asked in archive.asked] == ["2.25.1", "2.25.2"]
    assert archive.stored == outbox.uids  # it has them: nothing was sent again
    assert state(outbox) == SeriesState.FAILED
    reason = get_series(outbox.db, SERIES).reason_detail or ""
    assert "none of 2 requests for storage commitment within 600 s (last transaction 2.25.2)" in reason
    assert f"ARCHIVE at 127.0.0.1:{archive.port}" in reason


def test_failures_first_and_success_later(outbox: Outbox) -> None:
    """Only what failed is sent and asked about again, after the delay of a failed try."""
    with committing_archive("same") as archive:
        archive.verdict = lambda instances: (instances[:1], [(one, 0x0112) for one in instances[1:]])
        assert deliver(outbox, archive) == 2
        assert outbox.row.state == DeliveryState.PENDING
        assert "0x0112" in (outbox.row.last_error or "")
        outbox.now += timedelta(seconds=29)
        assert deliver(outbox, archive) == 0
        archive.verdict = lambda instances: (instances, [])
        outbox.now += timedelta(seconds=1)
        assert deliver(outbox, archive) == 2
    assert archive.stored == [*outbox.uids, outbox.uids[1]]
    assert [len(asked.instances) for asked in archive.asked] == [2, 1]
    assert state(outbox) == SeriesState.DONE
    assert outbox.row.attempts == 2
    assert [one["sop_instance_uid"] for one in outbox.row.statuses or []] == outbox.uids


def test_delays_double_and_tries_end(outbox: Outbox) -> None:
    with committing_archive("same") as archive:
        archive.verdict = lambda instances: ([], [(one, 0x0213) for one in instances])
        for delay_s in (30, 60):
            assert deliver(outbox, archive) == 2
            assert outbox.row.not_before == outbox.now + timedelta(seconds=delay_s)
            outbox.now += timedelta(seconds=delay_s)
        assert deliver(outbox, archive) == 2
    assert outbox.row.state == DeliveryState.FAILED
    assert state(outbox) == SeriesState.FAILED


def test_an_archive_that_offers_no_commitment_is_named_and_nothing_is_sent_again(outbox: Outbox) -> None:
    with committing_archive(offers_commitment=False) as archive:
        assert deliver(outbox, archive) == 2
        assert outbox.row.state == DeliveryState.STORED
        assert "refused: Storage Commitment Push Model SOP Class" in (outbox.row.last_error or "")
        outbox.now += timedelta(hours=1)
        deliver(outbox, archive)
    assert archive.stored == outbox.uids
    assert outbox.row.state == DeliveryState.FAILED


@pytest.mark.parametrize(("status", "meaning"), [(0x0213, "Resource Limitation"), (0x0110, "Processing Failure")])
def test_a_request_that_is_refused_is_made_again(outbox: Outbox, status: int, meaning: str) -> None:
    with committing_archive("same") as archive:
        archive.action_status = status
        assert deliver(outbox, archive) == 2
        assert f"status 0x{status:04X}, {meaning}" in (outbox.row.last_error or "")
        archive.action_status = 0x0000
        outbox.now += timedelta(hours=1)
        assert deliver(outbox, archive) == 1
    assert archive.stored == outbox.uids
    assert state(outbox) == SeriesState.DONE


@pytest.mark.parametrize(
    ("comment", "kept"), [("no space left", "(no space left)"), ("cannot keep Phantom, R.", f"({WITHHELD})")]
)
def test_the_words_of_a_refusal_are_kept_where_they_do_not_name_the_patient(
    outbox: Outbox, comment: str, kept: str
) -> None:
    with committing_archive("same") as archive:
        archive.action_status, archive.action_comment = 0x0213, comment
        deliver(outbox, archive)
    assert (outbox.row.last_error or "").count(kept) == 1
    assert "Phantom" not in (outbox.row.last_error or "")


def test_an_error_that_nobody_foresaw_costs_a_try(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with committing_archive() as archive:
        monkeypatch.setattr(commitment, "request_commitment", fail)
        assert deliver(outbox, archive) == 2
    assert outbox.row.state == DeliveryState.STORED
    assert "unexpected ZeroDivisionError" in (outbox.row.last_error or "")


def test_an_archive_that_is_down_when_it_is_to_be_asked(outbox: Outbox) -> None:
    with committing_archive() as archive:
        deliver(outbox, archive)
    outbox.now += timedelta(seconds=600)
    assert deliver(outbox, archive) == 1
    assert outbox.row.state == DeliveryState.STORED
    assert "Connection refused" in (outbox.row.last_error or "")


def test_a_switch_that_was_turned_off_ends_the_waiting(outbox: Outbox) -> None:
    with committing_archive() as archive:
        deliver(outbox, archive)
        outbox.now += timedelta(seconds=600)
        assert deliver(outbox, archive, storage_commitment=False) == 1
    assert state(outbox) == SeriesState.DONE
