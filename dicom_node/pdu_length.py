"""How large the PDUs are that a peer is sent (PS3.8 annex D.1)."""

from pynetdicom.pdu_primitives import A_ASSOCIATE

# Bytes; a message in smaller ones takes many times its size in memory: results and reports are large, answers are not.
SMALLEST_PDU = 4096  # nor does DCMTK send smaller ones
SMALLEST_PDU_OF_ANSWERS = 512
# Bytes; a peer may take more, or any number (0), but what is sent at once must be sent within a timeout.
LARGEST_SENT = 256 * 1024


def bound_pdus(stated: A_ASSOCIATE, smallest: int) -> str:
    """Have the peer that sent `stated` get PDUs of at most `LARGEST_SENT`; what is wrong with what it takes, or "".

    Their length is even, so that each piece of a message is.
    """
    most = stated.maximum_length_received
    if most is None:
        return "it does not state its maximum PDU length"
    if 0 < most < smallest:
        return f"it takes PDUs of {most} bytes at most; {smallest} are the least that this node sends"
    stated.maximum_length_received = min(most or LARGEST_SENT, LARGEST_SENT) & ~1
    return ""
