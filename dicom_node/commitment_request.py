"""N-ACTION: a peer is asked to commit itself to what it has stored (PS3.4 section J.3.2)."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.status import STORAGE_COMMITMENT_SERVICE_CLASS_STATUS

from dicom_node.association import Peer, associate, describe, wait_while_established
from dicom_node.commitment_messages import (
    PROPOSED_CONTEXTS,
    REQUEST_COMMITMENT,
    STORAGE_COMMITMENT,
    WELL_KNOWN_INSTANCE,
    Reference,
    encode_request,
)
from dicom_node.errors import NodeError
from dicom_node.message_turns import MessageTurns
from dicom_node.withheld import read_comment

AnswerReport = Callable[[evt.Event], tuple[int, Dataset | None]]


class CommitmentRefused(NodeError):
    """The peer did not take the request."""


def request_commitment(
    peer: Peer,
    own_ae_title: str,
    transaction_uid: str,
    references: Sequence[Reference],
    stored: Path,
    answer_report: AnswerReport,
    wait_s: float,
) -> None:
    """Ask over an association of its own, which stays open for `wait_s` seconds to take the report.

    A report that comes over it is given to `answer_report`. It may as well come later, over another association.
    stored: the file of one of the references; a comment of the peer that names its patient is not repeated.

    Raises:
        AssociationFailed: the association could not be made.
        CommitmentRefused: the peer answered no, or not at all.
    """
    came = threading.Event()

    def take(event: evt.Event) -> tuple[int, Dataset | None]:
        try:
            return answer_report(event)
        finally:
            came.set()

    with associate(peer, own_ae_title, PROPOSED_CONTEXTS) as association:
        turns = MessageTurns(association)
        association.bind(evt.EVT_N_EVENT_REPORT, take)
        _ask(association, peer, encode_request(transaction_uid, references), stored)
        wait_while_established(association, came, wait_s)
        with turns.turn():  # the answer to a report is on its way before the release
            pass


def _ask(association: Association, peer: Peer, information: Dataset, stored: Path) -> None:
    try:
        answer, _ = association.send_n_action(
            information, REQUEST_COMMITMENT, STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE
        )
    except RuntimeError as error:  # pynetdicom's word for an association that has ended
        raise _refused(peer, "the association ended") from error
    if "Status" not in answer:
        raise _refused(peer, "no answer")
    if answer.Status != 0:
        _, meaning = STORAGE_COMMITMENT_SERVICE_CLASS_STATUS.get(answer.Status, ("", "status unknown to the standard"))
        comment = read_comment(answer, stored)
        raise _refused(peer, f"status 0x{answer.Status:04X}, {meaning}{f' ({comment})' if comment else ''}")


def _refused(peer: Peer, what: str) -> CommitmentRefused:
    return CommitmentRefused(
        f"storage commitment was asked for: {what}",
        where=describe(peer),
        retry_helps=True,
        advice="look at the destination's log; where it offers no storage commitment, switch storage_commitment off",
    )
