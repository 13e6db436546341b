"""How long the answer to a C-STORE is waited for."""

from pathlib import Path
from threading import Event

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dicom_node import store_file
from dicom_node.association import associate
from dicom_node.send import RemoteNode
from tests.support.dicom_network import make_ct, running_archive, write_ct

PATIENCE_S = 0.3
SENDING_S = 30.0  # that the file is granted; the answer takes longer than PATIENCE_S, and not that long


@pytest.mark.parametrize("large", [False, True])
def test_the_time_for_an_answer_begins_when_the_file_may_have_been_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """An archive that answers late, as where the link is slow: a large file has come by then, a small one is lost."""
    file = write_ct(tmp_path, make_ct(1))
    slowest = file.stat().st_size / SENDING_S if large else 1e9
    monkeypatch.setattr(store_file, "SLOWEST_BYTES_PER_S", slowest)
    done = Event()

    def answer_late(_event: object) -> int:
        done.wait(5 * PATIENCE_S)
        return 0x0000

    with running_archive([CTImageStorage], answer=answer_late) as archive:
        peer = RemoteNode("ARCHIVE", "127.0.0.1", archive.port, dimse_timeout_s=PATIENCE_S)
        with associate(peer, "GLIANET", [(CTImageStorage, ExplicitVRLittleEndian)]) as association:
            answer = store_file.store_file(association, file, 0)
            assert association.dimse_timeout == PATIENCE_S, "of the next message"
        done.set()
    assert answer.stored is large
