"""Requests for storage commitment, as senders make them."""

from datetime import timedelta

from storage.commitment_requests import CommitmentRequest, RequestTaken, record_request
from tests.storage.stages import Node

MINUTE = timedelta(minutes=1)


def request(transaction_uid: str = "1.9", *uids: str, sender: str = "CT1") -> CommitmentRequest:
    pairs = tuple(("1.2.840", uid) for uid in uids or ("1.1", "1.2"))
    return CommitmentRequest(transaction_uid, sender, "192.0.2.7", pairs)


def record(node: Node, asked: CommitmentRequest) -> RequestTaken:
    return record_request(node.db, asked, node.now)
