"""Whether the node that runs answers on its own ports, as a sender would find it."""

import socket

from pydicom.uid import ImplicitVRLittleEndian

from dicom_node.implementation import IMPLEMENTATION_CLASS_UID
from dicom_node.settings import Settings

CONNECT_WITHIN_S = 2.0
ANSWER_WITHIN_S = 5.0
# PS3.8 section 9.3.4, source and reason: calling AE title not recognized, temporary congestion, local limit exceeded.
# Who says so knows the AE title that was called.
BY_THIS_NODE = frozenset({(1, 3), (3, 1), (3, 2)})
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def why_unanswered(settings: Settings, *, secured: bool) -> str | None:
    """Why this node does not seem to answer on its plain or its TLS port; None: it does.

    The plain port is asked by C-ECHO under the node's own AE title, which the access rules may reject: that is an
    answer too. Of the TLS port nothing is asked but a connection.
    """
    receiver = settings.receiver
    host = _EVERY_ADDRESS.get(receiver.host, receiver.host)
    return _connect(host, receiver.tls_port) if secured else _echo(settings.node.ae_title, host, receiver.port)


def _connect(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), CONNECT_WITHIN_S).close()
    except OSError as error:
        return f"no connection ({error.strerror or error})"
    return None


def _echo(ae_title: str, host: str, port: int) -> str | None:
    from dicom_node.association import AssociationFailed, associate
    from dicom_node.network_library import VERIFICATION
    from dicom_node.send import RemoteNode

    node = RemoteNode(ae_title, host, port, CONNECT_WITHIN_S, ANSWER_WITHIN_S)
    try:
        with associate(node, ae_title, [(VERIFICATION, ImplicitVRLittleEndian)]) as association:
            if association.acceptor.implementation_class_uid != IMPLEMENTATION_CLASS_UID:
                return "another DICOM application does"
            answer = association.send_c_echo()
    except AssociationFailed as error:
        return None if error.rejection in BY_THIS_NODE else error.what
    return None if answer.get("Status") == 0 else "it gave no answer to a C-ECHO"
