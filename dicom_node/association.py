"""Opening an association as SCU, with an explanation where it fails."""

import socket
import ssl
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import structlog
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context

from dicom_node.errors import NodeError
from dicom_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.message_guard import LARGEST_INFORMATION, Limits, guard_messages
from dicom_node.network_library import configure_pynetdicom
from dicom_node.pdu_length import SMALLEST_PDU, bound_pdus
from dicom_node.tls import ANY_NAME, TlsClient, client_context, explain
from dicom_node.transport import hang_up_after, limit_silence, read_in_bulk

MAXIMUM_CONTEXTS = 128  # PS3.8 section 9.3.2.2: odd context IDs from 1 to 255
_END_WITHIN_S = 5.0  # how long a peer has to take the rest and the A-ABORT
_LOOK_S = 0.05  # how often it is seen whether the peer has ended the association
_MAXIMUM_PDU_BYTES = 131072  # what the peer may send to us; our answers are small

log = structlog.get_logger(__name__)

Context = tuple[str, str]  # SOP class UID, transfer syntax UID

# PS3.8 section 9.3.4: (source, reason) -> what the administrator can do
_REJECTION_ADVICE = {
    (1, 2): "the peer is no DICOM application",
    (1, 3): "enter this node's AE title at the peer",
    (1, 7): "correct the peer's AE title here",
    (3, 1): "the peer is busy; it is tried again",
    (3, 2): "the peer allows no more associations now; it is tried again",
}


class Peer(Protocol):
    """Where to connect to; a [[destination]] is one."""

    @property
    def ae_title(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def connect_timeout_s(self) -> float: ...
    @property
    def dimse_timeout_s(self) -> float: ...
    @property
    def security(self) -> TlsClient | None:
        """How the connection is secured; None: plain DICOM."""


class AssociationFailed(NodeError):
    """The peer could not be reached, or rejected, refused or aborted the association.

    rejection: source and reason (PS3.8 section 9.3.4) where it was rejected.
    """

    def __init__(self, peer: Peer, what: str, advice: str, rejection: tuple[int, int] | None = None) -> None:
        self.rejection = rejection
        super().__init__(what, where=describe(peer), retry_helps=True, advice=advice)


@contextmanager
def associate(
    peer: Peer,
    own_ae_title: str,
    contexts: Sequence[Context],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Iterator[Association]:
    """An established association with one presentation context for each of `contexts`, released at the end.

    At least one context is accepted; which ones, `accepted_contexts` tells. When the block raises, the
    association is aborted. `roles`: where this node is not the SCU of a SOP class, as it is without (PS3.7
    annex D.3.3.4).

    Raises:
        AssociationFailed: not reachable, rejected (with the reason of PS3.8 section 9.3.4), aborted, or no
            context accepted.
        TlsError: the peer is connected to over TLS, and a file of [tls] cannot be used.
    """
    configure_pynetdicom()
    entity = _entity(peer, own_ae_title)
    association = _connect(entity, peer, [build_context(*context) for context in contexts], roles)
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


def as_failure(peer: Peer, error: Exception) -> NodeError:
    """The error as it is, or, where nobody foresaw it, what it means to whoever talks to this peer; it is logged.

    A peer must not be able to stop the process that serves all others.
    """
    if isinstance(error, NodeError):
        return error
    where = "".join(traceback.format_tb(error.__traceback__))  # without its message, which may be the peer's words
    log.error("unexpected error in an association", peer=describe(peer), error=type(error).__name__, where=where)
    what = f"unexpected {type(error).__name__} while talking to the peer"
    return AssociationFailed(peer, what, "the node's log says where; it is a defect of the node")


def wait_while_established(association: Association, came: threading.Event, seconds: float) -> None:
    """Until what is waited for has come, the peer has ended the association, or `seconds` have passed."""
    until = time.monotonic() + seconds
    while association.is_established and time.monotonic() < until:
        if came.wait(_LOOK_S):
            return


def accepted_contexts(association: Association) -> set[Context]:
    """The contexts that the peer accepted."""
    return {(str(one.abstract_syntax), str(one.transfer_syntax[0])) for one in association.accepted_contexts}


def describe(peer: Peer) -> str:
    """The peer as an administrator knows it."""
    return f"{peer.ae_title} at {peer.host}:{peer.port}"


def describe_context(context: Context) -> str:
    """SOP class and transfer syntax in words."""
    return f"{UID(context[0]).name} in {UID(context[1]).name}"


def _entity(peer: Peer, own_ae_title: str) -> AE:
    entity = AE(ae_title=own_ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.connection_timeout = peer.connect_timeout_s
    entity.acse_timeout = peer.dimse_timeout_s
    entity.dimse_timeout = peer.dimse_timeout_s
    entity.network_timeout = peer.dimse_timeout_s
    return entity


def _connect(
    entity: AE,
    peer: Peer,
    contexts: list[PresentationContext],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation],
) -> Association:
    """Try each address of the peer's host (a name may have several) until a connection opens."""
    tls = None if peer.security is None else (client_context(peer.security), _name_of(peer))
    for address in _addresses(peer):
        opened: list[evt.Event] = []
        try:
            association = entity.associate(
                address,
                peer.port,
                contexts=contexts,
                ae_title=peer.ae_title,
                max_pdu=_MAXIMUM_PDU_BYTES,
                ext_neg=list(roles),
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, opened.append),
                    (evt.EVT_CONN_OPEN, _guard, [peer.dimse_timeout_s]),
                    (evt.EVT_ABORTED, hang_up_after, [min(_END_WITHIN_S, peer.dimse_timeout_s)]),
                ],
                tls_args=tls,
            )
            if association.is_established:
                _check_answer(peer, association)
        except Exception as error:
            if not opened and isinstance(error, OSError):  # such as no IPv6 here: another address may do
                continue
            for event in opened:
                event.assoc.abort()
            if not opened or isinstance(error, NodeError):
                raise
            raise _not_understood(peer, f"it cannot be read ({type(error).__name__})") from error
        if association.is_established:
            return association
        if opened:
            raise _why_not_established(peer, association)
    raise _why_unreachable(peer)


def _check_answer(peer: Peer, association: Association) -> None:
    """An A-ASSOCIATE-AC (PS3.8 section 9.3.3) as the standard has it: the library relies on that without looking."""
    answer = association.acceptor.primitive
    wrong = "" if answer is None else bound_pdus(answer, SMALLEST_PDU)
    proposed = {one.context_id: one for one in association.requestor.requested_contexts}
    for one in association.accepted_contexts:
        chosen = [str(syntax) for syntax in one.transfer_syntax]
        if len(chosen) != 1 or chosen[0] not in map(str, proposed[one.context_id].transfer_syntax):
            wrong = f"for context {one.context_id} it accepts a transfer syntax that was not proposed"
    if wrong:
        raise _not_understood(peer, wrong)


def _not_understood(peer: Peer, what: str) -> AssociationFailed:
    return AssociationFailed(
        peer, f"the peer's answer to the association request cannot be used: {what}", "ask the peer's administrator"
    )


def _guard(event: evt.Event, timeout_s: float) -> None:
    """End the connection to a peer that reads nothing any more, falls silent within a PDU, or sends too much.

    pynetdicom would wait for ever, or take whatever comes; the peer's computer may go on to acknowledge that it has no
    room.
    """
    connection = event.assoc.dul.socket
    if connection is not None:
        read_in_bulk(connection)
        limit_silence(connection, timeout_s)
        guard_messages(event.assoc, Limits(data_set=LARGEST_INFORMATION))


def _name_of(peer: Peer) -> str:
    """The name that is asked for, and looked for in the certificate."""
    return peer.host if peer.security is None or peer.security.name == ANY_NAME else peer.security.name


def _addresses(peer: Peer) -> list[str]:
    try:
        found = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
    except OSError as error:
        what = f"the host name cannot be resolved ({error.strerror})"
        raise AssociationFailed(peer, what, "check the host name and the name server") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _why_not_established(peer: Peer, association: Association) -> AssociationFailed:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        reason = (answer.result_source or 0, answer.diagnostic or 0)
        advice = _REJECTION_ADVICE.get(reason, "ask the peer's administrator")
        what = f"association rejected ({answer.result_str.lower()}): {answer.reason_str}"
        return AssociationFailed(peer, what, advice, reason)
    if association.rejected_contexts:
        refused = "; ".join(describe_refusals(association))
        return AssociationFailed(peer, f"refused: {refused}", "have the peer accept these SOP classes")
    if association.is_aborted and answer is None and peer.security is not None:
        return AssociationFailed(
            peer,
            "the peer ended the TLS connection without an answer",
            "it may not trust this node's certificate (tls.certificate): look at its log",
        )
    if association.is_aborted and answer is None:
        return AssociationFailed(
            peer,
            "the peer gave no valid answer to the association request",
            "check that a DICOM application listens there and look at its log",
        )
    return AssociationFailed(peer, "the peer aborted the association", "look at the peer's log")


def describe_refusals(association: Association) -> list[str]:
    """The contexts that the peer refused, in words."""
    proposed = {one.context_id: one for one in association.requestor.requested_contexts}  # a refusal may name none
    refused = [proposed[one.context_id] for one in association.rejected_contexts]
    return [describe_context((str(one.abstract_syntax), str(one.transfer_syntax[0]))) for one in refused]


def _why_unreachable(peer: Peer) -> AssociationFailed:
    """pynetdicom logs the operating system's reason and drops it: ask once more, without an association."""
    try:
        _connect_once(peer)
    except ssl.SSLError as error:
        advice = "check tls.trusted here, and certificate and name of the peer (destination.tls_name)"
        return AssociationFailed(peer, f"no TLS connection: {explain(error)}", advice)
    except TimeoutError:
        what = f"no connection within {peer.connect_timeout_s:g} s"
    except OSError as error:
        what = f"no connection ({error.strerror or error})"
    else:
        what = "no connection a moment ago; it can be reached now"
    return AssociationFailed(peer, what, "check that it runs, its host and port, and any firewall between")


def _connect_once(peer: Peer) -> None:
    with socket.create_connection((peer.host, peer.port), peer.connect_timeout_s) as connection:
        if peer.security is not None:
            client_context(peer.security).wrap_socket(connection, server_hostname=_name_of(peer)).close()
