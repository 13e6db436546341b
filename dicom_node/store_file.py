"""C-STORE of one file as it is on the disk (PS3.4 annex B, PS3.7 section 9.1.1)."""

from dataclasses import dataclass
from pathlib import Path

from pynetdicom.association import Association
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS

from dicom_node.withheld import read_comment

_LAST_MESSAGE_ID = 65535  # VR US
SLOWEST_BYTES_PER_S = 250_000  # 2 Mbit/s; an association over a slower link fails


@dataclass(frozen=True)
class StoreAnswer:
    """What the peer answered; `status` is None where the association ended before it answered."""

    status: int | None
    comment: str

    @property
    def stored(self) -> bool:
        """Success, or a warning: the object was stored (PS3.4 section B.2.3)."""
        return self.status == 0 or self.warning

    @property
    def warning(self) -> bool:
        """0xBxxx (PS3.4 table B.2-1), or one of the general warnings of PS3.7 annex C."""
        if self.status is None:
            return False
        return self.status >> 12 == 0xB or self.status in (0x0001, 0x0107, 0x0116)

    @property
    def code(self) -> str:
        """The status as administrators know it, such as 0xA700."""
        return "none" if self.status is None else f"0x{self.status:04X}"

    @property
    def meaning(self) -> str:
        """The status in the standard's words, with the peer's comment."""
        if self.status is None:
            return "no answer: the association ended"
        kind, text = STORAGE_SERVICE_CLASS_STATUS.get(self.status, ("", "status unknown to the standard"))
        meaning = text or kind
        return f"{meaning} ({self.comment})" if self.comment else meaning


def store_file(association: Association, path: Path, number: int) -> StoreAnswer:
    """Send the Part 10 file `path` in its own transfer syntax, as the `number`-th message (from 0).

    Where no answer came, the association is not to be used any more: it may take pynetdicom a moment to notice
    that it has ended, and a message sent meanwhile would be waited for in vain. The time for an answer begins when
    the file is sent at SLOWEST_BYTES_PER_S: the library counts from when it is queued, and a large one would never
    arrive over a slow link.

    Raises:
        OSError: the file cannot be read.
        AttributeError: its file meta information lacks a UID.
        ValueError: the peer accepted no presentation context for it.
    """
    patience_s = association.dimse_timeout
    if patience_s is not None:
        association.dimse_timeout = patience_s + path.stat().st_size / SLOWEST_BYTES_PER_S
    try:
        answer = association.send_c_store(path, msg_id=number % _LAST_MESSAGE_ID + 1)
    except RuntimeError:  # pynetdicom's word for an association that has ended
        return StoreAnswer(None, "")
    finally:
        association.dimse_timeout = patience_s
    if "Status" not in answer:
        return StoreAnswer(None, "")
    return StoreAnswer(int(answer.Status), read_comment(answer, path))
