"""How large the PDUs are that a peer is sent (PS3.8 annex D.1)."""

from pynetdicom.pdu_primitives import A_ASSOCIATE

SMALLEST_PDU = 4096  # bytes; a message in smaller ones takes many times its size in memory. DCMTK takes no less either
# Bytes; a peer may take more, or any number (0), but what is sent at once must be sent within a timeout.
LARGEST_SENT = 256 * 1024


def bound_pdus(stated: A_ASSOCIATE) -> str:
    """Have the peer that sent `stated` get PDUs of at most `LARGEST_SENT`; what is wrong with what it takes, or ""."""
    most = stated.maximum_length_received
    if most is None:
        return "it does not state its maximum PDU length"
    if 0 < most < SMALLEST_PDU:
        return f"it takes PDUs of {most} bytes at most; {SMALLEST_PDU} are the least that this node sends"
    stated.maximum_length_received = min(most or LARGEST_SENT, LARGEST_SENT)
    return ""
