"""A PACS inside the test process: keeps what it is sent, can be held up in the middle of an object, and go away."""

import ssl
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    Comprehensive3DSRStorage,
    SegmentationStorage,
    Verification,
)
from pynetdicom.transport import ThreadedAssociationServer

from tests.support.ports import free_port
from tests.support.waiting import wait_for_event

AE_TITLE = "TESTPACS"
HELD_AT_MOST_S = 60.0
SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700


class TestArchive:
    """What arrived, by SOP Instance UID: every copy's bytes, in the order of arrival."""

    __test__ = False  # no test case, whatever its name

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context
        self.port = free_port()
        self.copies: dict[str, list[bytes]] = defaultdict(list)
        self.reached = threading.Event()  # an object has come that is held up
        self.status = SUCCESS
        self.comment = ""  # goes with it
        self._open = threading.Event()
        self._open.set()
        self._hold_from = 0
        self._arrivals = 0
        self._server: ThreadedAssociationServer | None = None

    @property
    def destination(self) -> dict[str, object]:
        """It as a [[destination]]; short timeouts, so that a node that finds it gone tries again soon."""
        where = {"name": "archive", "ae_title": AE_TITLE, "host": "127.0.0.1", "port": self.port}
        return {**where, "connect_timeout_s": 2.0, "dimse_timeout_s": 30.0}

    def start(self) -> None:
        """Listen, on the same port each time."""
        entity = AE(ae_title=AE_TITLE)
        entity.require_called_aet = True
        contexts = [
            build_context(one, ExplicitVRLittleEndian)
            for one in (SegmentationStorage, Comprehensive3DSRStorage)
        ]
        self._server = entity.start_server(
            ("127.0.0.1", self.port),
            block=False,
            ssl_context=self._ssl_context,
            contexts=[*contexts, build_context(Verification)],
            evt_handlers=[(evt.EVT_C_STORE, self._store)],
        )

    def stop(self) -> None:
        """Go away: open associations are aborted, new ones find nobody."""
        self._open.set()
        if self._server is not None:
            for association in self._server.active_associations:
                association.abort()
            self._server.shutdown()
            self._server = None

    def hold_from(self, number: int) -> None:
        """Hold up the answer to the `number`-th object from now on (1: the next), and to those after it."""
        self._hold_from = self._arrivals + number
        self.reached.clear()
        self._open.clear()

    def wait_until_held(self, deadline_s: float) -> None:
        """An object is there whose answer is held up."""
        wait_for_event(self.reached, deadline_s, "an object reaches the archive")

    def let_go(self) -> None:
        """Answer what was held up, and everything from now on."""
        self._hold_from = 0
        self._open.set()

    def objects(self, series_instance_uid: str | None = None) -> list[Dataset]:
        """One data set for each object, of those about a source series where one is named."""
        found = [dcmread(BytesIO(copies[0])) for copies in list(self.copies.values())]
        return [one for one in found if series_instance_uid in (None, source_series(one))]

    def check_copies_agree(self) -> None:
        """An object that came twice came with the same bytes."""
        for uid, copies in self.copies.items():
            assert len(set(copies)) == 1, f"{uid} came {len(copies)} times with different content"

    def _store(self, event: evt.Event) -> Dataset:
        self._arrivals += 1
        if self._hold_from and self._arrivals >= self._hold_from:
            self.reached.set()
            self._open.wait(HELD_AT_MOST_S)
        if self.status == SUCCESS:
            self.copies[str(event.dataset.SOPInstanceUID)].append(event.encoded_dataset())
        answer = Dataset()
        answer.Status = self.status
        if self.comment:
            answer.ErrorComment = self.comment
        return answer


@contextmanager
def running_archive(ssl_context: ssl.SSLContext | None = None) -> Iterator[TestArchive]:
    """A TestArchive that listens inside the block; with `ssl_context`, over TLS."""
    archive = TestArchive(ssl_context)
    archive.start()
    try:
        yield archive
    finally:
        archive.stop()


def source_series(result: Dataset) -> str:
    """The CT series that a SEG or SR was made from."""
    if result.SOPClassUID == SegmentationStorage:
        return str(result.ReferencedSeriesSequence[0].SeriesInstanceUID)
    evidence = result.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    classes = {
        str(one.SeriesInstanceUID): str(one.ReferencedSOPSequence[0].ReferencedSOPClassUID)
        for one in evidence
    }
    (series,) = [uid for uid, sop_class in classes.items() if sop_class != SegmentationStorage]
    return series
