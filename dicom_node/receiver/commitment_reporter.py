"""The reporter: a thread that finds out what this node can commit itself to, and tells who asked."""

import threading
from collections.abc import Sequence
from itertools import count
from weakref import WeakValueDictionary

import structlog
from pynetdicom.association import Association

from dicom_node.association import Peer
from dicom_node.clock import Clock
from dicom_node.commitment_messages import Report
from dicom_node.errors import NodeError
from dicom_node.message_turns import MessageTurns
from dicom_node.receiver.commitment_check import Verdict, judge_instances, refuse_all
from dicom_node.receiver.commitment_sending import send_report, send_report_back
from dicom_node.receiver.registrar import Registrar
from dicom_node.retry_delay import retry_delay
from dicom_node.settings import Settings
from dicom_node.time_limit import StepTimes
from storage.commitment_requests import (
    RequestRow,
    due_requests,
    newest_request,
    postpone_report,
    reported,
    request_instances,
)
from storage.database import Database
from storage.errors import StorageError
from storage.spool import Spool

LOOK_S = 1.0  # how often it looks for reports that have become due
WRITTEN_WITHIN_S = 10.0  # what was received before somebody asked has its row by then, or the answer waits
CLOSE_WITHIN_S = 5.0
TIMEOUTS_OF_A_REPORT = 10
"""Its turn, connecting and once more to explain a failure, TLS, association, answer and release, over one or the other
association: each ends within a timeout."""
NAMED = 100  # failures that the audit row names one by one
_LAST_MESSAGE_ID = 65535  # VR US

log = structlog.get_logger(__name__)


class NoAddress(NodeError):
    """The association has ended, and it is not known where else the requester listens."""

    def __init__(self, ae_title: str) -> None:
        super().__init__(
            "the association that asked has ended, and no other address is known",
            where=ae_title,
            retry_helps=True,
            advice="add it to commitment.requesters",
        )


class Busy(Exception):
    """The requester is in the middle of something on the association that asked."""


class Reporter:
    """Reports on requests that are in the database, those of earlier runs too, one after the other."""

    def __init__(self, db: Database, spool: Spool, registrar: Registrar, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._spool = spool
        self._registrar = registrar
        self._settings = settings
        self._clock = clock
        self._asked_over: WeakValueDictionary[tuple[str, str], MessageTurns] = WeakValueDictionary()
        self._message_ids = count(1)
        self._reporting, self._telling = StepTimes(), StepTimes()
        self._bell = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still works: an error that it does not know ends it, and a peer or a disk may hold it up for ever.

        Then nobody would be reported to any more. Whoever looks here has it start afresh, with its process.
        """
        return self._thread.is_alive() and not self._hangs

    @property
    def _hangs(self) -> bool:
        """Reading the instances of a request takes as long as they are many: [node] maximum_step_s bounds that."""
        on_the_disk_s, with_the_peer_s = self._reporting.longest_s(), self._telling.longest_s()
        late = with_the_peer_s > _telling_limit_s(self._settings) or on_the_disk_s > self._settings.node.maximum_step_s
        if late:
            log.error("a commitment report hangs", seconds=round(on_the_disk_s), with_the_peer=round(with_the_peer_s))
        return late

    def asked(self, transaction_uid: str, association: Association) -> None:
        """A request that is in the database came over the association, which may take the report."""
        turns = MessageTurns.of(association)
        if turns is not None:
            self._asked_over[(association.requestor.ae_title, transaction_uid)] = turns
        self._bell.set()

    def close(self) -> None:
        """End; what is not told stays in the database."""
        self._closing.set()
        self._bell.set()
        self._thread.join(CLOSE_WITHIN_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._bell.clear()
            try:
                self._report_all()
            except StorageError as error:
                log.error("storage does not answer; reports are tried again", error=str(error))
            self._bell.wait(LOOK_S)

    def _report_all(self) -> None:
        """All that is due by now, oldest first, some at a time; what is asked meanwhile waits for the next time.

        Of a requester that does not answer the rest is left for later: others are not to wait for it each time.
        """
        now, newest, last, silent = self._clock(), newest_request(self._db), 0, set[str]()
        while due := due_requests(self._db, now, last, silent):
            for row in due:
                if self._closing.is_set() or row.id > newest:
                    return
                if row.calling_ae_title not in silent and not self._report(row):
                    silent.add(row.calling_ae_title)
            last = due[-1].id

    def _report(self, row: RequestRow) -> bool:
        """Whether there is nothing to wait for; what went wrong is noted."""
        with self._reporting.step(self._thread.name):
            return self._report_or_say_why_not(row)

    def _report_or_say_why_not(self, row: RequestRow) -> bool:
        try:
            with self._telling.step(self._thread.name):
                self._open_association(row)  # before anything is read: while it is busy this comes again and again
            self._check_written()
            verdict = self._judge(row)
            with self._telling.step(self._thread.name):
                how = self._tell(row, Report(row.transaction_uid, verdict.committed, verdict.failed))
        except Busy:
            return True
        except NodeError as error:
            self._postpone(row, str(error))
            return False
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - one request must not keep the others from their reports
            log.exception("report failed", transaction=row.transaction_uid)
            self._postpone(row, type(error).__name__)
            return False
        self._asked_over.pop((row.calling_ae_title, row.transaction_uid), None)
        counts = {"committed": len(verdict.committed), "failed": len(verdict.failed)}
        log.info("commitment reported", requester=row.calling_ae_title, transaction=row.transaction_uid, **counts)
        failures = {one.reference[1]: f"0x{one.reason:04X}" for one in verdict.failed[:NAMED]}
        detail = {**counts, "failures": failures, "over": how}
        reported(self._db, row, detail, verdict.series_ids, self._clock())
        return True

    def _check_written(self) -> None:
        if not self._registrar.wait_until_written(WRITTEN_WITHIN_S):
            raise NodeError("what was received has no row yet", where="database", retry_helps=True)

    def _judge(self, row: RequestRow) -> Verdict:
        references = request_instances(self._db, row)
        return refuse_all(references) if row.duplicate else judge_instances(self._db, self._spool, references)

    def _tell(self, row: RequestRow, report: Report) -> str:
        """Over which association the requester was told. Raises NodeError."""
        message_id = next(self._message_ids) % _LAST_MESSAGE_ID + 1
        turns = self._open_association(row)
        if turns is not None:
            try:
                send_report_back(turns, report, message_id, self._settings.receiver.dimse_timeout_s)
                return "the association that asked"
            except NodeError as error:
                log.warning("report over the association that asked failed", error=str(error))
                self._asked_over.pop((row.calling_ae_title, row.transaction_uid), None)
        peer = self._find_peer(row.calling_ae_title)
        if peer is None:
            raise NoAddress(row.calling_ae_title)
        send_report(peer, self._settings.node.ae_title, report, message_id)
        return f"a new association to {peer.host}:{peer.port}"

    def _open_association(self, row: RequestRow) -> MessageTurns | None:
        """The one that asked, where it is open and nothing but requests for commitment came last.

        Raises Busy where something else did: a sender that waits for the answer to a C-STORE would take the report
        for it.
        """
        turns = self._asked_over.get((row.calling_ae_title, row.transaction_uid))
        if turns is None or not turns.association.is_established:
            self._asked_over.pop((row.calling_ae_title, row.transaction_uid), None)
            return None
        with turns.turn():
            if turns.last_request != "N-ACTION":
                raise Busy
        return turns

    def _find_peer(self, ae_title: str) -> Peer | None:
        receiver = self._settings.receiver
        timeouts = (receiver.acse_timeout_s, receiver.dimse_timeout_s)
        known = self._settings.commitment.find_requester(ae_title, *timeouts, self._settings.tls)
        destinations: Sequence[Peer] = [one for one in self._settings.destinations if one.ae_title == ae_title]
        return known or next(iter(destinations), None)

    def _postpone(self, row: RequestRow, error: str) -> None:
        rules = self._settings.delivery
        delay = retry_delay(row.attempts + 1, rules.first_delay_s, rules.maximum_delay_s)
        log.warning("commitment report postponed", requester=row.calling_ae_title, error=error)
        postpone_report(self._db, row, error, delay, rules.maximum_attempts, self._clock())


def _telling_limit_s(settings: Settings) -> float:
    """The longest that telling a peer can take where every timeout holds."""
    receiver = settings.receiver
    timeouts = [receiver.acse_timeout_s, receiver.dimse_timeout_s, receiver.network_timeout_s]
    timeouts += [timeout for one in settings.destinations for timeout in (one.connect_timeout_s, one.dimse_timeout_s)]
    return TIMEOUTS_OF_A_REPORT * max(timeouts)
