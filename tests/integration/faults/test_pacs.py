"""A PACS that stops in the middle: it answers nothing any more, or reads nothing any more."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import evt

from dicom_node.association import associate
from dicom_node.delivery import DeliveryFailed, echo, store_objects
from dicom_node.send import RemoteNode
from dicom_node.store_file import store_file
from storage.jobs import ResultObject
from tests.support.dicom_network import make_ct, running_archive, write_ct
from tests.support.ports import free_port
from tests.support.waiting import wait_until

DEADLINE_S = 60.0
PATIENCE_S = 1.0
MORE_THAN_A_SOCKET_HOLDS = 4000  # pixels an edge: 32 MB


def test_an_archive_that_never_answers_is_given_up(tmp_path: Path) -> None:
    over = threading.Event()

    def never(_event: evt.Event) -> int:
        over.wait(DEADLINE_S)
        return 0x0000

    path = write_ct(tmp_path, make_ct(1))
    digest = sha256(path.read_bytes()).hexdigest()
    one = ResultObject("seg", CTImageStorage, "1.2.3", "1.2", path.name, digest, path.stat().st_size)
    with running_archive([CTImageStorage], answer=never) as archive:
        peer = RemoteNode("ARCHIVE", "127.0.0.1", archive.port, dimse_timeout_s=PATIENCE_S)
        with pytest.raises(DeliveryFailed, match="no answer") as caught:
            store_objects(peer, "GLIANET", [one], tmp_path)
        over.set()
    assert caught.value.retry_helps


@pytest.fixture
def frozen_archive(tmp_path: Path) -> Iterator[tuple[RemoteNode, int]]:
    """A storage SCP in a process of its own, which a test can freeze, and its process id."""
    port = free_port()
    command = [sys.executable, "-m", "dicom_node.demo.archive", "--port", str(port), "--ae-title", "ARCHIVE"]
    process = subprocess.Popen([*command, "--folder", str(tmp_path / "archive")], stdout=subprocess.DEVNULL)
    peer = RemoteNode("ARCHIVE", "127.0.0.1", port, dimse_timeout_s=PATIENCE_S)
    try:
        wait_until(lambda: echo(peer, "TESTER").ok, DEADLINE_S, "the archive answers a C-ECHO")
        yield peer, process.pid
    finally:
        process.kill()
        process.wait()


def test_an_archive_that_reads_nothing_any_more_is_given_up(
    frozen_archive: tuple[RemoteNode, int], tmp_path: Path
) -> None:
    """Its computer still acknowledges that it has no room: without a limit the delivery would wait for ever."""
    peer, pid = frozen_archive
    big = write_ct(tmp_path, make_ct(1, size=MORE_THAN_A_SOCKET_HOLDS))
    started = time.monotonic()
    with associate(peer, "GLIANET", [(CTImageStorage, ExplicitVRLittleEndian)]) as association:
        os.kill(pid, signal.SIGSTOP)
        assert store_file(association, big, 0).status is None
    assert time.monotonic() - started < DEADLINE_S
