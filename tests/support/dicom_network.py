"""Tiny CT data sets, a running receiver and small storage SCPs, for tests over real associations."""

import os
import shutil
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from dicom_node.association import associate
from dicom_node.receiver.server import Receiver, open_receiver
from dicom_node.send import RemoteNode
from dicom_node.settings import Settings
from dicom_node.store_file import StoreAnswer, store_file
from storage.database import Database, open_database

DEADLINE_S = 20.0  # far above what any of these tests waits for
STUDY = "1.2.826.0.1.3680043.8.498.1"
FRAME = b"\xff\xd8" + bytes(range(200)) + b"\xff\xd9"  # stands for a compressed frame: nobody here decodes it


def make_ct(
    number: int = 1,
    *,
    series: str = f"{STUDY}.1",
    transfer_syntax: str = ExplicitVRLittleEndian,
    sop_class: str = CTImageStorage,
    size: int = 8,
    value: int = 0,
) -> Dataset:
    """A CT slice with what reception looks at; pixels are (size, size) int16, all `value` + `number`."""
    dataset = Dataset()
    dataset.SOPClassUID = UID(sop_class)
    dataset.SOPInstanceUID = f"{series}.{number}"
    dataset.StudyInstanceUID = STUDY
    dataset.SeriesInstanceUID = series
    dataset.Modality = "CT"
    dataset.PatientID = "PHANTOM"
    dataset.PatientName = "Phantom^Receiver"
    dataset.InstanceNumber = number
    dataset.ImagePositionPatient = [0.0, 0.0, float(number)]
    dataset.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = size
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 1
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    if UID(transfer_syntax).is_encapsulated:
        dataset.PixelData = encapsulate([FRAME])
    else:
        order = "little" if UID(transfer_syntax).is_little_endian else "big"
        dataset.PixelData = (value + number).to_bytes(2, order, signed=True) * size * size
    return dataset


def write_ct(folder: Path, dataset: Dataset) -> Path:
    """The data set as a Part 10 file named after its SOP Instance UID."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def encode(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The data set without file meta information, in an uncompressed or the deflated transfer syntax."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = transfer_syntax != ExplicitVRBigEndian
    buffer.is_implicit_VR = transfer_syntax == ImplicitVRLittleEndian
    write_dataset(buffer, dataset)
    data = buffer.getvalue()
    if transfer_syntax != DeflatedExplicitVRLittleEndian:
        return data
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def data_set_of(file: Path) -> bytes:
    """What follows the file meta information, by the group length that stands in it (PS3.10 section 7.1)."""
    return data_set_in(file.read_bytes())


def data_set_in(data: bytes) -> bytes:
    """The same of a file's bytes."""
    assert data[128:132] == b"DICM"
    return data[144 + int.from_bytes(data[140:144], "little") :]


def write_raw(path: Path, head_of: Dataset, body: bytes) -> Path:
    """A file whose file meta information, hence the C-STORE command, is that of one data set, and whose bytes
    are another's."""
    buffer = BytesIO()
    dcmwrite(buffer, head_of, enforce_file_format=True)
    data = buffer.getvalue()
    path.write_bytes(data[: 144 + int.from_bytes(data[140:144], "little")] + body)
    return path


def make_settings(folder: Path, **tables: Any) -> Settings:
    """Default settings with a storage folder, no floor on free space, and what `tables` changes."""
    given: dict[str, Any] = {
        "storage": {"folder": folder / "node"},
        "receiver": {"minimum_free_gib": 0.0, "host": "127.0.0.1"},
    }
    for name, table in tables.items():
        given[name] = {**given.get(name, {}), **table} if isinstance(table, dict) else table
    settings = Settings.model_validate(given)
    any_port = settings.receiver.model_copy(update={"port": 0})
    return settings.model_copy(update={"receiver": any_port})


@dataclass
class Node:
    """A receiver that runs in this process, and its storage."""

    settings: Settings
    receiver: Receiver
    db: Database

    @property
    def spool(self) -> Path:
        return self.settings.storage.folder / "spool"

    def peer(self, ae_title: str = "GLIANET") -> RemoteNode:
        return RemoteNode(ae_title, "127.0.0.1", self.receiver.port, dimse_timeout_s=DEADLINE_S)

    def send(self, *files: Path, calling: str = "SCANNER") -> list[StoreAnswer]:
        """Send files over one association; what was answered. Rows are written when it returns."""
        contexts = list(dict.fromkeys(context_of(file) for file in files))
        with associate(self.peer(), calling, contexts) as association:
            answers = [store_file(association, file, number) for number, file in enumerate(files)]
        association.join(DEADLINE_S)
        return answers

    def wait_until_written(self) -> None:
        """Wait until associations have ended and every row is there."""
        for thread in threading.enumerate():
            if isinstance(thread, Association) and thread.is_acceptor:
                thread.join(DEADLINE_S)
        assert self.receiver.registrar.wait_until_written(DEADLINE_S)


@contextmanager
def running_node(folder: Path, **tables: Any) -> Iterator[Node]:
    """A receiver on a free port."""
    settings = make_settings(folder, **tables)
    with open_receiver(settings) as receiver:
        db = open_database(settings.storage.folder / "node.sqlite3")
        try:
            yield Node(settings, receiver, db)
        finally:
            db.close()


def context_of(file: Path) -> tuple[str, str]:
    """SOP class and transfer syntax from the file meta information."""
    meta = read_file_meta_info(file)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


@dataclass
class Archive:
    """A storage SCP that keeps what it is sent in memory and answers as told."""

    answer: Callable[[evt.Event], int | Dataset] = lambda event: 0x0000
    received: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    associations: list[list[str]] = field(default_factory=list)
    port: int = 0

    def store(self, event: evt.Event) -> int | Dataset:
        self.received.append(str(event.request.AffectedSOPInstanceUID))
        self.bodies.append(event.encoded_dataset(include_meta=False))
        return self.answer(event)

    def accepted(self, event: evt.Event) -> None:
        proposed = event.assoc.requestor.requested_contexts
        self.associations.append([str(context.abstract_syntax) for context in proposed])


@contextmanager
def serving(
    entity: AE,
    contexts: list[PresentationContext],
    handlers: list[evt.EventHandlerType],
    ssl_context: ssl.SSLContext | None = None,
) -> Iterator[int]:
    """A server on a free port of the loopback address, which is given; at the end its associations are aborted."""
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, ssl_context=ssl_context, contexts=contexts, evt_handlers=handlers
    )
    try:
        yield server.server_address[1]
    finally:
        for association in server.active_associations:
            association.abort()
        server.shutdown()


@contextmanager
def running_archive(
    sop_classes: Sequence[str],
    transfer_syntaxes: Sequence[str] = (ExplicitVRLittleEndian,),
    *,
    answer: Callable[[evt.Event], int | Dataset] | None = None,
    calling_ae_titles: Sequence[str] = (),
    maximum_associations: int = 10,
    ssl_context: ssl.SSLContext | None = None,
) -> Iterator[Archive]:
    """An archive with AE title ARCHIVE on a free port of the loopback address; with `ssl_context`, over TLS."""
    archive = Archive() if answer is None else Archive(answer)
    entity = AE(ae_title="ARCHIVE")
    entity.require_called_aet = True
    entity.require_calling_aet = list(calling_ae_titles)
    entity.maximum_associations = maximum_associations
    contexts = [build_context(sop_class, list(transfer_syntaxes)) for sop_class in sop_classes]
    handlers = [(evt.EVT_C_STORE, archive.store), (evt.EVT_ACCEPTED, archive.accepted)]
    with serving(entity, contexts, handlers, ssl_context) as archive.port:
        yield archive


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether `holds` becomes true before the deadline; for what another process or peer brings about."""
    ends = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not holds():
        if time.monotonic() > ends:
            return False
        pause.wait(0.01)
    return True


def program(name: str, package: str = "dcmtk") -> str:
    """The path of a program of the system; where it is absent the test skips, in CI it fails."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed (Debian package {package})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path
