"""N-EVENT-REPORT of storage commitment as it arrives, over whatever association (PS3.4 section J.3.3)."""

from collections.abc import Collection
from datetime import datetime

import structlog
from pydicom import Dataset
from pynetdicom.events import Event

from dicom_node.commitment_messages import PROCESSING_FAILURE, SUCCESS, InvalidMessage, decode_report
from dicom_node.resend_rules import resend_rules
from dicom_node.settings import DeliverySettings
from storage.commitment import CommitmentReport, ReportTaken, take_report
from storage.database import Database
from storage.errors import StorageError

log = structlog.get_logger(__name__)

_STATUS = {
    ReportTaken.COUNTED: SUCCESS,
    ReportTaken.LATE: SUCCESS,
    ReportTaken.UNKNOWN: PROCESSING_FAILURE,
    ReportTaken.FOREIGN: PROCESSING_FAILURE,
}


def answer_report(
    db: Database,
    event: Event,
    sender: str,
    address: str,
    destinations: Collection[str],
    rules: DeliverySettings,
    now: datetime,
    *,
    note_ignored: bool = True,
) -> tuple[int, Dataset | None]:
    """Take a report that came from one of `destinations`: Success only when what it says is committed to the database.

    0x0110 where nobody was asked under its transaction UID, where it is not from the one who was asked, and where
    the database does not answer; other failures of PS3.7 annex C where it cannot be understood. note_ignored: whether
    a report that changes nothing gets an audit row.
    """
    try:
        said = decode_report(event)
        failed = {failure.reference[1]: failure.reason for failure in said.failed}
        committed = {uid: sop_class for sop_class, uid in said.committed}
        report = CommitmentReport(said.transaction_uid, sender, address, committed, failed)
        taken = take_report(db, report, destinations, resend_rules(rules), now, note_ignored=note_ignored)
    except InvalidMessage as error:
        log.warning("commitment report refused", sender=sender, address=address, reason=error.what)
        return error.status, None
    except StorageError as error:
        log.error("commitment report cannot be taken", sender=sender, error=str(error))
        return PROCESSING_FAILURE, None
    counts = {"committed": len(committed), "failed": len(failed)}
    log.info("commitment report", sender=sender, transaction=said.transaction_uid, taken=taken, **counts)
    return _STATUS[taken], None
