"""What every association of this node relies on: options of pynetdicom, and the SOP class of C-ECHO."""

from pydicom.uid import UID
from pynetdicom import _config

VERIFICATION = UID("1.2.840.10008.1.1")  # PS3.4 section A.4; pydicom.uid names no service but storage


def configure_pynetdicom() -> None:
    """Set pynetdicom's documented options; to be called before an association or a server is made.

    LOG_HANDLER_LEVEL "none": no text is composed for every PDU and message.
    STORE_SEND_CHUNKED_DATASET: a file is sent as it is on the disk, without being decoded or held in memory.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    _config.STORE_SEND_CHUNKED_DATASET = True
