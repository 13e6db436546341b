"""A PACS that stores, and commits itself as it is told: over the same association, over a new one, or never."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from pydicom import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from tests.support.dicom_network import DEADLINE_S, serving
from tests.support.outbox import SOP_CLASSES
from tests.support.waiting import wait_for_event

AE_TITLE = "ARCHIVE"
WELL_KNOWN = "1.2.840.10008.1.20.1.1"  # PS3.4 section J.3.5
SYNTAXES = [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian]

Instance = tuple[str, str]
Verdict = tuple[Sequence[Instance], Sequence[tuple[Instance, int]]]


@dataclass
class Asked:
    """A request that came: under which transaction UID, and for which instances."""

    transaction_uid: str
    instances: list[Instance]


@dataclass
class CommittingArchive:
    """What it does is set by `report_over`, `verdict`, `action_status` and `action_comment`; what came is kept."""

    report_over: Literal["same", "never"] = "never"
    verdict: Callable[[list[Instance]], Verdict] = lambda instances: (instances, [])
    action_status: int = 0x0000
    action_comment: str = ""
    stored: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    answers: list[int | None] = field(default_factory=list)  # to reports over the same association
    came: threading.Event = field(default_factory=threading.Event)
    reported: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def store(self, event: evt.Event) -> int:
        self.stored.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    def action(self, event: evt.Event) -> tuple[int, None]:
        information = event.action_information
        assert event.request.RequestedSOPInstanceUID == WELL_KNOWN
        assert event.request.ActionTypeID == 1
        instances = [
            (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
            for item in information.ReferencedSOPSequence
        ]
        self.asked.append(Asked(str(information.TransactionUID), instances))
        self.came.set()
        if self.action_status == 0 and self.report_over == "same":
            threading.Thread(target=self._report_back, args=(event.assoc, self.asked[-1]), daemon=True).start()
        return self._answer(), None

    def _answer(self) -> Dataset:
        answer = Dataset()
        answer.Status = self.action_status
        if self.action_comment:
            answer.ErrorComment = self.action_comment
        return answer

    def report(
        self, port: int, asked: Asked | None = None, *, calling: str = AE_TITLE, called: str = "GLIANET"
    ) -> int | None:
        """Report over a new association to the node, with the role of the SCP; the status that it answered."""
        said = asked or self.asked[-1]
        entity = AE(ae_title=calling)
        entity.add_requested_context(StorageCommitmentPushModel, [ExplicitVRLittleEndian])
        role = build_role(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        association = entity.associate("127.0.0.1", port, ae_title=called, ext_neg=[role])
        assert association.is_established
        (context,) = association.accepted_contexts
        assert (context.as_scu, context.as_scp) == (False, True)  # the node has taken the role selection
        status = self._send(association, said)
        association.release()
        return status

    def wait_until_asked(self) -> None:
        wait_for_event(self.came, DEADLINE_S, "the archive is asked for commitment")
        self.came.clear()

    def _report_back(self, association: Association, asked: Asked) -> None:
        """Once the answer to the request is out: pynetdicom serves one message at a time."""
        with suppress(RuntimeError):
            self.answers.append(self._send(association, asked))
        self.reported.set()

    def _send(self, association: Association, asked: Asked) -> int | None:
        kept, failed = self.verdict(asked.instances)
        information = report_of(asked.transaction_uid, kept, failed)
        kind = 2 if failed else 1
        answer, _ = association.send_n_event_report(information, kind, StorageCommitmentPushModel, WELL_KNOWN)
        status = answer.get("Status")
        return None if status is None else int(status)


def report_of(
    transaction_uid: str, kept: Sequence[Instance], failed: Sequence[tuple[Instance, int]] = ()
) -> Dataset:
    """Event Information of PS3.4 table J.3-2."""
    information = Dataset()
    information.TransactionUID = transaction_uid
    if kept:
        information.ReferencedSOPSequence = [item_of(one) for one in kept]
    if failed:
        items = [item_of(one) for one, _ in failed]
        for item, (_, reason) in zip(items, failed, strict=True):
            item.FailureReason = reason
        information.FailedSOPSequence = items
    return information


def item_of(instance: Instance) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance
    return item


@contextmanager
def committing_archive(
    report_over: Literal["same", "never"] = "never", *, offers_commitment: bool = True
) -> Iterator[CommittingArchive]:
    """An archive with AE title ARCHIVE on a free port of the loopback address."""
    archive = CommittingArchive(report_over)
    entity = AE(ae_title=AE_TITLE)
    contexts = [build_context(sop_class, SYNTAXES) for sop_class in SOP_CLASSES]
    if offers_commitment:
        contexts.append(build_context(StorageCommitmentPushModel, SYNTAXES[::2]))
    handlers = [(evt.EVT_C_STORE, archive.store), (evt.EVT_N_ACTION, archive.action)]
    with serving(entity, contexts, handlers) as archive.port:
        yield archive
