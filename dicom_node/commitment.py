"""Commitment of a delivery: a destination that has taken every object is asked whether it keeps them."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import structlog
from pydicom import Dataset
from pynetdicom.events import Event

from dicom_node.association import as_failure, describe
from dicom_node.clock import Clock
from dicom_node.commitment_reports import answer_report
from dicom_node.commitment_request import request_commitment
from dicom_node.destination_settings import DestinationSettings
from dicom_node.retry_delay import retry_delay
from dicom_node.settings import Settings
from storage.commitment import await_report, begin_request, waive_commitment
from storage.database import Database
from storage.outbox import DeliveryRow, postpone_delivery

log = structlog.get_logger(__name__)


def commit_delivery(
    db: Database,
    claim: DeliveryRow,
    destination: DestinationSettings,
    settings: Settings,
    results_root: Path,
    clock: Clock,
    new_uid: Callable[[], str],
) -> None:
    """Ask for the report on a STORED delivery, each time under a transaction UID of its own from `new_uid`.

    What is waited for stands in the database before the destination is asked. Raises LostClaim where the report
    was quicker than the note that it is waited for, or the series was re-opened.
    """
    if not destination.storage_commitment:
        log.info("commitment is switched off", destination=destination.name, series=claim.series_instance_uid)
        waive_commitment(db, claim, clock())
    elif claim.asked >= destination.commitment_requests:
        postpone_delivery(db, claim, _no_report(claim, destination), timedelta(0), claim.attempts, clock())
    else:
        stored = results_root / claim.outstanding[0].path
        _ask(db, claim, destination, settings, stored, clock, new_uid())


def _ask(
    db: Database,
    claim: DeliveryRow,
    destination: DestinationSettings,
    settings: Settings,
    stored: Path,
    clock: Clock,
    transaction_uid: str,
) -> None:
    rules = settings.delivery

    def take(event: Event) -> tuple[int, Dataset | None]:
        sender = destination.ae_title, destination.host
        return answer_report(db, event, *sender, [destination.name], rules, clock())

    where = {"destination": destination.name, "series": claim.series_instance_uid, "transaction": transaction_uid}
    begin_request(db, claim, transaction_uid, clock())
    references = [(one.sop_class_uid, one.sop_instance_uid) for one in claim.outstanding]
    title, wait_s = settings.node.ae_title, destination.commitment_wait_s
    try:
        request_commitment(destination, title, transaction_uid, references, stored, take, wait_s)
    except Exception as error:  # noqa: BLE001 - no peer may end the process that serves the others
        failure = as_failure(destination, error)
        log.warning("commitment could not be asked for", error=str(failure), **where)
        delay = retry_delay(claim.attempts, rules.first_delay_s, rules.maximum_delay_s)
        postpone_delivery(db, claim, str(failure), delay, rules.maximum_attempts, clock())
        return
    log.info("commitment asked for", objects=len(references), **where)
    await_report(db, claim, clock() + timedelta(seconds=destination.commitment_report_s), clock())


def _no_report(claim: DeliveryRow, destination: DestinationSettings) -> str:
    """Why the delivery fails though everything arrived."""
    return (
        f"{describe(destination)}: it took every object, and reported on none of {claim.asked} requests for storage"
        f" commitment within {destination.commitment_report_s:g} s (last transaction {claim.transaction_uid})"
        " - look at its log; it must know this node's address to report later, and be allowed to send to it"
    )
