"""The C-STORE client: folders, kinds of files, answers, progress."""

import socket
from pathlib import Path

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    RLELossless,
    SegmentationStorage,
)
from pynetdicom import evt

from dicom_node.errors import NodeError
from dicom_node.send import send_folder
from tests.support.dicom_network import STUDY, data_set_of, make_ct, running_archive, write_ct

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless]


def test_every_file_goes_as_it_is_and_the_rest_is_skipped(tmp_path: Path) -> None:
    files = [
        write_ct(tmp_path / folder, make_ct(number, transfer_syntax=syntax))
        for number, (folder, syntax) in enumerate(zip(["a", "b/c", "b"], SYNTAXES, strict=True))
    ]
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "empty").touch()
    write_ct(tmp_path / "b", make_ct(99, sop_class=MediaStorageDirectoryStorage))
    steps: list[tuple[int, int]] = []
    with running_archive([CTImageStorage], SYNTAXES) as archive:
        report = send_folder(
            tmp_path, "localhost", archive.port, "ARCHIVE", "CT1", lambda *step: steps.append(step)
        )
    assert sorted(archive.bodies) == sorted(data_set_of(file) for file in files)
    assert len(archive.associations) == 1
    assert (report.complete, report.files, report.stored) == (True, 3, 3)
    assert report.statuses == {"0x0000": 3}
    assert sorted(Path(one.path).name for one in report.skipped) == [
        f"{STUDY}.1.99.dcm",
        "empty",
        "notes.txt",
    ]
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert report.summary().startswith(
        f"3 of 3 files stored by ARCHIVE at localhost:{archive.port} (0x0000: 3)"
    )
    assert report.as_dict()["complete"] is True


def test_sorted_on_request_and_a_single_file(tmp_path: Path) -> None:
    for number in (3, 1, 2):
        write_ct(tmp_path, make_ct(number))
    with running_archive([CTImageStorage]) as archive:
        send_folder(tmp_path, "127.0.0.1", archive.port, "ARCHIVE", "CT1", sort=True)
        one = next(tmp_path.iterdir())
        assert send_folder(one, "127.0.0.1", archive.port, "ARCHIVE", "CT1").files == 1
    assert archive.received[:3] == [f"{STUDY}.1.{number}" for number in (1, 2, 3)]


def test_each_failure_is_reported_and_holds_up_nothing(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_ct(tmp_path, make_ct(number))
    write_ct(tmp_path, make_ct(4, sop_class=SegmentationStorage))
    full = Dataset()
    full.Status, full.ErrorComment = 0xA700, "disk full"
    answers: dict[str, int | Dataset] = {f"{STUDY}.1.1": full, f"{STUDY}.1.2": 0xB007}
    with running_archive(
        [CTImageStorage], answer=lambda event: answers.get(str(event.request.AffectedSOPInstanceUID), 0)
    ) as archive:
        report = send_folder(tmp_path, "127.0.0.1", archive.port, "ARCHIVE", "CT1", sort=True)
    assert not report.complete
    assert report.stored == 2
    assert report.statuses == {"0xA700": 1, "0xB007": 1, "0x0000": 1, "none": 1}
    reasons = {one.sop_instance_uid: one.reason for one in report.failures}
    assert reasons == {
        f"{STUDY}.1.1": "Refused: Out of Resources (disk full)",
        f"{STUDY}.1.4": "refused: Segmentation Storage in Explicit VR Little Endian",
    }
    assert "not stored: 2" in report.summary()


def test_more_kinds_of_files_than_one_association_negotiates(tmp_path: Path) -> None:
    classes = [f"1.2.826.0.1.3680043.8.498.77.{number}" for number in range(130)]
    for number, sop_class in enumerate(classes):
        write_ct(tmp_path, make_ct(number, sop_class=sop_class))
    with running_archive([CTImageStorage]) as archive:
        report = send_folder(tmp_path, "127.0.0.1", archive.port, "ARCHIVE", "CT1", sort=True)
    assert report.files == 130
    assert len(report.failures) == 130  # the archive knows none of them
    assert [len(contexts) for contexts in archive.associations] == [128, 2]


def test_archive_that_aborts_and_archive_that_is_gone(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_ct(tmp_path, make_ct(number))

    def abort_at_second(event: evt.Event) -> int:
        if str(event.request.AffectedSOPInstanceUID).endswith(".2"):
            event.assoc.abort()
        return 0x0000

    with running_archive([CTImageStorage], answer=abort_at_second) as archive:
        report = send_folder(tmp_path, "127.0.0.1", archive.port, "ARCHIVE", "CT1", sort=True)
    assert report.statuses == {"0x0000": 1, "none": 2}
    assert [one.reason for one in report.failures] == [
        "no answer: the association ended",
        "not sent: the association ended",
    ]
    report = send_folder(tmp_path, "127.0.0.1", archive.port, "ARCHIVE", "CT1")
    assert report.statuses == {"none": 3}
    assert "Connection refused" in report.failures[0].reason


def test_nothing_to_send_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
        with pytest.raises(NodeError, match="no DICOM file is there"):
            send_folder(tmp_path, "127.0.0.1", port, "ARCHIVE", "CT1")
        with pytest.raises(NodeError, match="no DICOM file is there"):
            send_folder(tmp_path / "missing", "127.0.0.1", port, "ARCHIVE", "CT1")


def test_file_without_uids_in_its_meta_information_is_skipped(tmp_path: Path) -> None:
    dataset = make_ct(1)
    dcmwrite(tmp_path / "bare.dcm", dataset, enforce_file_format=False)  # no preamble: sending needs one
    write_ct(tmp_path, make_ct(2))
    with running_archive([CTImageStorage]) as archive:
        report = send_folder(tmp_path, "127.0.0.1", archive.port, "ARCHIVE", "CT1")
    assert (report.files, report.stored) == (1, 1)
    assert [Path(one.path).name for one in report.skipped] == ["bare.dcm"]
