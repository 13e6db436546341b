"""Every kind of series through one running node: orders, orientations, transfer syntaxes, and what is refused."""

import random
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from dicom_node import codes
from dicom_node.demo.write_series import Storage
from dicom_node.reasons import REASONS, Reason
from storage.states import SeriesState
from tests.glianet.formulas import formula_volume
from tests.integration.conftest import Find, Model
from tests.support.archive import TestArchive, running_archive
from tests.support.dcmtk import COMPRESSORS, compress
from tests.support.head_series import (
    ONE_PATCH,
    SLICES,
    SPACING_MM,
    HeadSeries,
    axial_affine,
    change,
    make_head_series,
    rotation_about,
    send,
)
from tests.support.node import NodeUnderTest
from tests.support.results import check_mask, codes_of, one_of_each, texts_of

WRITER_SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "jpeg-2000": JPEG2000Lossless,
}
MIDDLE = 30

Check = Callable[[HeadSeries], None]


@pytest.fixture(scope="module")
def archive() -> Iterator[TestArchive]:
    with running_archive() as running:
        yield running


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory, archive: TestArchive, model: Model
) -> Iterator[NodeUnderTest]:
    tables = {**model, "results": {"report_refusals": "all"}}
    with NodeUnderTest(tmp_path_factory.mktemp("kinds"), [archive.destination], tables) as running:
        yield running
        running.check_intact()
        running.stop()
    archive.check_copies_agree()


@pytest.fixture
def check_result(node: NodeUnderTest, archive: TestArchive, find: Find) -> Check:
    """The series ends with one SEG and one SR in the archive; the mask is what the network finds in its voxels."""

    def check(series: HeadSeries) -> None:
        row = node.wait_until_ended(series.uid)
        assert row.state == SeriesState.DONE, f"{row.reason_code} {row.reason_detail}\n{node.log_tail()}"
        segmentation, report = one_of_each(archive.objects(series.uid))
        assert report.StudyInstanceUID == segmentation.StudyInstanceUID == series.study_uid
        check_mask(segmentation, find(series))

    return check


@pytest.fixture
def check_refusal(node: NodeUnderTest, archive: TestArchive) -> Callable[[HeadSeries, Reason], None]:
    """The series is not analysed, and audit log and archive say why."""

    def check(series: HeadSeries, reason: Reason) -> None:
        row = node.wait_until_ended(series.uid)
        assert (row.state, row.reason_code) == (SeriesState.NOT_ANALYSED, reason), node.log_tail()
        (refusal,) = node.audit("series-refused", series.uid)
        assert reason in str(refusal.detail)
        (report,) = archive.objects(series.uid)
        assert report.Modality == "SR"
        assert report.StudyInstanceUID == series.study_uid
        assert (codes.ANEURYSM.value, codes.UNDETERMINED.value) in codes_of(report)
        assert any(REASONS[reason].text in text for text in texts_of(report))

    return check


@pytest.mark.parametrize("name", [*WRITER_SYNTAXES, *COMPRESSORS])
def test_each_lossless_transfer_syntax(
    name: str, node: NodeUnderTest, tmp_path: Path, check_result: Check
) -> None:
    if name in WRITER_SYNTAXES:
        storage = Storage(transfer_syntax_uid=WRITER_SYNTAXES[name])
        series = make_head_series(tmp_path, name, storage=storage)
        files = list(series.files)
    else:
        series = make_head_series(tmp_path, name)
        files = compress(series.files, name, tmp_path / "compressed")
        assert _syntax(files[0]) != _syntax(series.files[0])
    send(node.peer, files)
    check_result(series)
    spooled = list((node.storage / "spool").rglob("*.dcm"))
    assert _syntax(files[0]) in {_syntax(file) for file in spooled}, "the spool keeps what came"


def test_shuffled_order_and_names(node: NodeUnderTest, tmp_path: Path, check_result: Check) -> None:
    series = make_head_series(tmp_path, "shuffled", storage=Storage(names=random.Random(3)))
    files = list(series.files)
    random.Random(4).shuffle(files)
    send(node.peer, files)
    check_result(series)


def test_oblique_orientation(node: NodeUnderTest, tmp_path: Path, check_result: Check) -> None:
    turned = axial_affine(ONE_PATCH, rotation_about((1.0, 0.4, 0.2), 11.0))
    series = make_head_series(tmp_path, "oblique", affine=turned)
    send(node.peer, series.files)
    check_result(series)


def test_a_patient_who_lies_face_down_feet_first(
    node: NodeUnderTest, tmp_path: Path, check_result: Check
) -> None:
    series = make_head_series(tmp_path, "ffp", storage=Storage(patient_position="FFP"), volume_seed=2)
    send(node.peer, series.files)
    check_result(series)


@pytest.mark.parametrize("form", ["enhanced", "legacy"])
def test_multi_frame_images(
    form: Literal["enhanced", "legacy"], node: NodeUnderTest, tmp_path: Path, check_result: Check
) -> None:
    series = make_head_series(tmp_path, form, storage=Storage(form=form))
    assert len(series.files) == 1
    send(node.peer, series.files)
    check_result(series)


def test_two_interleaved_series_in_one_association(
    node: NodeUnderTest, tmp_path: Path, check_result: Check
) -> None:
    one = make_head_series(tmp_path, "interleaved-1", volume_seed=1)
    other = make_head_series(tmp_path, "interleaved-2", volume_seed=2, study_uid=one.study_uid)
    send(node.peer, list(chain.from_iterable(zip(one.files, other.files, strict=True))))
    check_result(one)
    check_result(other)


def test_duplicate_instances_change_nothing(node: NodeUnderTest, tmp_path: Path, check_result: Check) -> None:
    series = make_head_series(tmp_path, "duplicates")
    send(node.peer, [*series.files[:5], *series.files])
    check_result(series)
    assert len(node.audit("instance-duplicate", series.uid)) == 5


def test_missing_slice(
    node: NodeUnderTest, tmp_path: Path, check_refusal: Callable[[HeadSeries, Reason], None]
) -> None:
    series = make_head_series(tmp_path, "missing-slice", announced=SLICES - 1)
    send(node.peer, [file for number, file in enumerate(series.files) if number != MIDDLE])
    check_refusal(series, Reason.MISSING_SLICE)


def test_the_missing_slice_comes_late(
    node: NodeUnderTest,
    archive: TestArchive,
    tmp_path: Path,
    check_refusal: Callable[[HeadSeries, Reason], None],
    find: Find,
) -> None:
    """What was refused for a gap is analysed once the gap is filled; the first report stays in the archive."""
    series = make_head_series(tmp_path, "filled-gap", announced=SLICES - 1)
    send(node.peer, [file for number, file in enumerate(series.files) if number != MIDDLE])
    check_refusal(series, Reason.MISSING_SLICE)
    (refusal,) = archive.objects(series.uid)
    send(node.peer, [series.files[MIDDLE]])
    row = node.wait_until_ended(series.uid, revision=2)
    assert row.state == SeriesState.DONE, node.log_tail()
    later = [one for one in archive.objects(series.uid) if one.SOPInstanceUID != refusal.SOPInstanceUID]
    segmentation, _ = one_of_each(later)
    check_mask(segmentation, find(series))


def test_duplicate_position(
    node: NodeUnderTest, tmp_path: Path, check_refusal: Callable[[HeadSeries, Reason], None]
) -> None:
    series = make_head_series(tmp_path, "duplicate-position")
    other = dcmread(series.files[MIDDLE + 1]).ImagePositionPatient
    change(series.files[MIDDLE], lambda image: setattr(image, "ImagePositionPatient", other))
    send(node.peer, series.files)
    check_refusal(series, Reason.DUPLICATE_POSITION)


def test_gantry_tilt(
    node: NodeUnderTest, tmp_path: Path, check_refusal: Callable[[HeadSeries, Reason], None]
) -> None:
    sheared = axial_affine(ONE_PATCH)
    sheared[1, 0] = SPACING_MM[0] * np.tan(np.radians(8.0))
    series = make_head_series(tmp_path, "tilt", affine=sheared)
    send(node.peer, series.files)
    check_refusal(series, Reason.GANTRY_TILT)


def test_no_contrast(
    node: NodeUnderTest, tmp_path: Path, check_refusal: Callable[[HeadSeries, Reason], None]
) -> None:
    """Only the pixels tell: the series is accepted first, and the worker refuses it."""
    plain = formula_volume(ONE_PATCH, 1)
    plain[(plain > 100) & (plain < 750)] = 40
    series = make_head_series(tmp_path, "no-contrast", hu=plain)
    send(node.peer, series.files)
    check_refusal(series, Reason.NO_CONTRAST)
    assert len(node.audit("series-accepted", series.uid)) == 1


def test_conflicting_duplicate(
    node: NodeUnderTest, tmp_path: Path, check_refusal: Callable[[HeadSeries, Reason], None]
) -> None:
    """The same SOP Instance UID with other pixels: both are kept, neither is trusted."""
    series = make_head_series(tmp_path, "conflict")
    again = tmp_path / "again.dcm"
    again.write_bytes(series.files[MIDDLE].read_bytes())
    change(again, lambda image: setattr(image, "PixelData", bytes(len(image.PixelData))))
    send(node.peer, [*series.files[: MIDDLE + 1], again, *series.files[MIDDLE + 1 :]])
    check_refusal(series, Reason.CONFLICTING_INSTANCES)
    assert len(node.audit("instance-conflict", series.uid)) == 1


def test_a_late_slice_gives_a_second_set_of_results(
    node: NodeUnderTest, archive: TestArchive, tmp_path: Path, find: Find
) -> None:
    series = make_head_series(tmp_path, "late-slice", volume_seed=2, announced=SLICES - 1)
    send(node.peer, series.files[:-1])
    shorter = HeadSeries(series.hu[:-1], series.affine, series.files[:-1])
    assert node.wait_until_ended(series.uid).state == SeriesState.DONE, node.log_tail()
    first = archive.objects(series.uid)
    check_mask(one_of_each(first)[0], find(shorter))
    send(node.peer, series.files[-1:])
    assert node.wait_until_ended(series.uid, revision=2).state == SeriesState.DONE, node.log_tail()
    first_uids = {one.SOPInstanceUID for one in first}
    second = [one for one in archive.objects(series.uid) if one.SOPInstanceUID not in first_uids]
    check_mask(one_of_each(second)[0], find(series))
    assert not {one.SeriesInstanceUID for one in first} & {one.SeriesInstanceUID for one in second}
    assert {one.StudyInstanceUID for one in [*first, *second]} == {series.study_uid}


def _syntax(file: Path) -> str:
    return str(dcmread(file, specific_tags=[], stop_before_pixels=True).file_meta.TransferSyntaxUID)
