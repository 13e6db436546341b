"""Storage commitment in `status` and `check-config`."""

import json
from datetime import timedelta

import pytest

from dicom_node.commands.check_commitment import check_commitment
from dicom_node.settings import Settings
from storage.commitment import await_report, begin_request
from storage.commitment_requests import CommitmentRequest, due_requests, postpone_report, record_request
from storage.outbox import claim_delivery, stored
from tests.dicom_node.commands.called_node import Site
from tests.support.head_series import HeadSeries
from tests.support.pipeline import LEASE


@pytest.fixture
def waiting(site: Site, delivering: HeadSeries) -> HeadSeries:
    """A series that the PACS has taken at the second try, and was asked about once."""
    db, clock = site.pipeline.db, site.pipeline.clock
    clock.advance(3600)
    claim = claim_delivery(db, "pacs", "router:1:pacs", clock(), LEASE)
    assert claim is not None
    stored(db, claim, [], clock())
    claim = claim_delivery(db, "pacs", "router:1:pacs", clock(), LEASE)
    assert claim is not None
    begin_request(db, claim, "2.25.7", clock())
    await_report(db, claim, clock() + timedelta(hours=1), clock())
    return delivering


def test_a_delivery_that_waits_for_commitment(site: Site, waiting: HeadSeries) -> None:
    lines = [line.strip() for line in site.run("status").stdout.splitlines()]
    assert (
        "to pacs: 0 pending (since 2026-01-15 10:00:30 UTC), 1 waiting for commitment, 0 delivered, 0 failed" in lines
    )
    assert (
        "to pacs: stored, commitment is waited for, asked once (transaction 2.25.7),"
        " asked again 2026-01-15 12:00:30 UTC" in lines
    )
    shown = json.loads(site.run("status", "--json").stdout)
    assert shown["overview"]["destinations"][0]["stored"] == 1


def test_it_waits_for_ever_where_its_destination_is_gone(site: Site, waiting: HeadSeries) -> None:
    site.rewrite('name = "pacs"', 'name = "new-pacs"')
    assert "no [[destination]] has this name any more" in site.run("status").stdout


def test_who_asked_and_could_not_be_told(site: Site) -> None:
    db, clock = site.pipeline.db, site.pipeline.clock
    record_request(db, CommitmentRequest("1.9", "CT1", "192.0.2.7", (("1.2", "1.3"),)), clock())
    (row,) = due_requests(db, clock())
    postpone_report(db, row, "no address is known", timedelta(minutes=1), 9, clock())
    lines = [line.strip() for line in site.run("status").stdout.splitlines()]
    assert "commitment for CT1: 1 to be reported (since 2026-01-15 10:00:00 UTC), 0 could not be" in lines
    assert "last error: no address is known" in lines
    (shown,) = json.loads(site.run("status", "--json").stdout)["commitment_requests"]
    assert (shown["calling_ae_title"], shown["waiting"]) == ("CT1", 1)


def settings(pacs_host: str = "192.0.2.9", commitment: bool = True, **receiver: object) -> Settings:
    pacs = {"name": "pacs", "ae_title": "PACS", "host": pacs_host, "port": 104, "storage_commitment": commitment}
    return Settings.model_validate({"destination": [pacs], "receiver": receiver})


@pytest.mark.parametrize(
    ("checked", "problem"),
    [
        (settings(pacs_host="127.0.0.1"), None),
        (settings(host="0.0.0.0"), None),
        (settings(host="0.0.0.0", calling_ae_titles=["CT1", "PACS"]), None),
        (settings(host="0.0.0.0", calling_ae_titles=["CT1"]), "PACS may not come in"),
        (settings(), "receiver.host is 127.0.0.1"),
    ],
)
def test_a_report_that_could_not_come_is_warned_of(checked: Settings, problem: str | None) -> None:
    (check,) = check_commitment(checked)
    assert check.level == ("ok" if problem is None else "warning")
    assert problem is None or problem in check.outcome


def test_the_port_is_named_that_is_listened_on() -> None:
    (check,) = check_commitment(settings(host="0.0.0.0"))
    assert check.outcome == "PACS may report to port 11112 of this node"
    over_tls = settings(host="0.0.0.0").receiver.model_copy(update={"accept_plain": False, "tls_port": 2762})
    (check,) = check_commitment(settings().model_copy(update={"receiver": over_tls}))
    assert check.outcome == "PACS may report to port 2762 of this node"


def test_destinations_that_are_not_asked_are_not_checked() -> None:
    assert list(check_commitment(settings(commitment=False))) == []
