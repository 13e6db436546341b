"""Data sets made to do harm: as C-STORE and as files, each by itself and next to a good sender."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)
from pynetdicom.dimse_primitives import C_STORE

from dicom_node.association import associate
from dicom_node.dicom_file import read_headers
from dicom_node.errors import NodeError
from dicom_node.frames import list_frames
from dicom_node.instance_identity import UnreadableDataSet, identify_instance
from dicom_node.pixels import iterate_hounsfield
from dicom_node.read_series import inspect_series
from dicom_node.reasons import NotAnalysable, Reason
from storage.audit import verify
from storage.series import instance_paths
from storage.states import SeriesState
from tests.support.dicom_network import Node, data_set_in, encode, make_ct, running_node, write_ct
from tests.support.faults_mutations import Mutation, mutate, mutations
from tests.support.head_series import HeadSeries
from tests.support.pipeline import Pipeline, open_pipeline, small_series
from tests.support.shared_data import SHARED
from tests.support.written_series import ASSEMBLY, FEW_SLICES, change, write

MALFORMED = sorted((SHARED / "data" / "dicom" / "malformed").rglob("*.dcm"))
TAKEN_OR_REFUSED = {0x0000, 0xA700, 0xA900, 0xC000}  # PS3.4 table B.2-1
PIXELS = b"\xe0\x7f\x10\x00"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One receiver for all of them: it must not come to harm by any."""
    with running_node(tmp_path_factory.mktemp("hostile")) as running:
        yield running


@pytest.mark.skipif(not MALFORMED, reason="third-party data is not here: ../shared/data/dicom/malformed")
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
)
def test_malformed_files_over_the_network(node: Node, tmp_path: Path, syntax: str) -> None:
    """Each under the command of a good instance, in whatever transfer syntax; then a good one."""
    before = tree(tmp_path.parent)
    head = make_ct(7, series="1.2.3.4", transfer_syntax=syntax)
    answers = store_raw(node, head, [payload(path) for path in MALFORMED])
    assert len(answers) == len(MALFORMED) and set(answers) <= TAKEN_OR_REFUSED
    check_serves(node, tmp_path)
    assert tree(tmp_path.parent) - before == {tmp_path / "good.dcm"}


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(made=mutations())
def test_mutations_are_identified_or_refused(made: list[Mutation]) -> None:
    data = mutate(encode(make_ct(1)), made)
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        try:
            identity = identify_instance(data, syntax)
        except UnreadableDataSet:
            continue
        assert "/" not in identity.series_instance_uid and ".." not in identity.sop_instance_uid


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(made=mutations())
def test_mutations_in_a_series_are_read_or_refused(
    made: list[Mutation], tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_read_or_refused(made, tmp_path_factory.getbasetemp() / "mutations")


@pytest.mark.stress
@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=mutations())
def test_many_mutations_in_a_series_are_read_or_refused(
    made: list[Mutation], tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_read_or_refused(made, tmp_path_factory.getbasetemp() / "many-mutations")


def check_read_or_refused(made: list[Mutation], folder: Path) -> None:
    """What the router and the worker do with it; nothing but an error of the node's own comes of it."""
    if not folder.is_dir():
        write(folder)
    good = sorted(folder.glob("*.dcm"))
    raw = good[0].read_bytes()
    body = data_set_in(raw)
    bad = folder / "mutated"
    bad.write_bytes(raw[: -len(body)] + mutate(body, made))
    try:
        headers = read_headers([bad, *good[1:]])
        source = inspect_series(headers, FEW_SLICES, ASSEMBLY, conflicting=False)
        for path, header in zip(source.paths, source.datasets, strict=True):
            frames = list_frames(header)
            assert all(
                frame.shape == (header.Rows, header.Columns) for frame in iterate_hounsfield(path, frames)
            )
    except NodeError:
        pass


def huge_matrix() -> bytes:
    image = make_ct(1)
    image.Rows = image.Columns = 65535
    return encode(image)


def with_uid(keyword: str, value: str) -> bytes:
    image = make_ct(1)
    image[keyword]._value = value
    return encode(image)


def before_pixels(what: bytes) -> bytes:
    body = encode(make_ct(1))
    at = body.index(PIXELS)
    return body[:at] + what + body[at:]


def deflated(data: bytes, zeros: int) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    parts = [deflater.compress(data), *(deflater.compress(bytes(2**20)) for _ in range(zeros >> 20))]
    return b"".join([*parts, deflater.flush()])


DEEP = (
    struct.pack("<HH2sHI", 0x0031, 0x1001, b"SQ", 0, 0xFFFFFFFF)
    + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
) * 10_000
FIRST = encode(make_ct(1))[:200]
HOSTILE = {
    "65535 x 65535 with little data": (ExplicitVRLittleEndian, huge_matrix(), {0x0000}),
    "nested before the UIDs": (
        ExplicitVRLittleEndian,
        DEEP.replace(b"\x31\x00", b"\x08\x00") + FIRST,
        {0xC000},
    ),
    "nested before the pixels": (ExplicitVRLittleEndian, before_pixels(DEEP), {0x0000}),
    "path in the instance UID": (ExplicitVRLittleEndian, with_uid("SOPInstanceUID", "../../x"), {0xC000}),
    "path in the series UID": (
        ExplicitVRLittleEndian,
        with_uid("SeriesInstanceUID", "/etc/passwd"),
        {0xC000},
    ),
    "path in the study UID": (
        ExplicitVRLittleEndian,
        with_uid("StudyInstanceUID", "1.2/../../../x"),
        {0xC000},
    ),
    "deflate bomb before the UIDs": (DeflatedExplicitVRLittleEndian, deflated(b"", 2**28), {0xC000}),
    "deflate bomb behind them": (
        DeflatedExplicitVRLittleEndian,
        deflated(encode(make_ct(1)), 2**28),
        {0x0000},
    ),
}


@pytest.mark.parametrize(("syntax", "body", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_bombs_over_the_network(
    node: Node, tmp_path: Path, syntax: str, body: bytes, expected: set[int]
) -> None:
    assert set(store_raw(node, make_ct(1, transfer_syntax=syntax), [body])) == expected
    check_serves(node, tmp_path)
    assert {path.suffix for path in node.spool.rglob("*") if path.is_file()} <= {".dcm"}


def deep_header(path: Path) -> None:
    raw = path.read_bytes()
    at = raw.index(PIXELS)
    path.write_bytes(raw[:at] + DEEP + raw[at:])


def huge_codestream(path: Path) -> None:
    """A JPEG 2000 codestream that says 65535 x 65535 under a header that says so, too."""
    size = struct.pack(">HHIIIIIIIIH", 41, 0, 65535, 65535, 0, 0, 65535, 65535, 0, 0, 1) + b"\x0f\x01\x01"
    frame = b"\xff\x4f\xff\x51" + size + b"\xff\x52\x00\x0c\x00\x00\x00\x01\x00\x05\x04\x04\x00\x01\xff\xd9"
    change(path, PixelData=encapsulate([frame]), Rows=65535, Columns=65535)
    change_syntax(path, JPEG2000Lossless)


def change_syntax(path: Path, syntax: str) -> None:
    image = dcmread(path)
    image.file_meta.TransferSyntaxUID = syntax
    image["PixelData"].is_undefined_length = True
    image["PixelData"].VR = "OB"
    image.save_as(path, enforce_file_format=True)


IN_A_SERIES = {
    "nested 10,000 deep": (deep_header, {Reason.HEADER_UNREADABLE}),
    "a huge matrix": (
        lambda path: change(path, Rows=65535, Columns=65535),
        {Reason.MIXED_MATRIX, Reason.INVALID_GEOMETRY},
    ),
    "a huge codestream": (huge_codestream, {Reason.MIXED_MATRIX, Reason.INVALID_GEOMETRY}),
}


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("harm", IN_A_SERIES)
def test_a_bomb_in_a_series_is_a_refusal_and_the_next_series_is_analysed(
    tmp_path: Path, harm: str, everywhere: bool
) -> None:
    """In one slice, or in all of them: then the whole series claims it, and decoding is where it ends."""
    do, reasons = IN_A_SERIES[harm]
    with open_pipeline(tmp_path / "node") as pipeline:
        bad, good = small_series(tmp_path, "bad"), small_series(tmp_path, "good")
        pipeline.receive(bad.files)
        for path in sorted(pipeline.folders.spool.rglob("*.dcm"))[: None if everywhere else 1]:
            do(path)
        pipeline.receive(good.files)
        pipeline.quiet()
        while pipeline.assemble():
            pass
        row = pipeline.row(bad)
        if row.state == SeriesState.REFUSED:
            assert everywhere or row.reason_code in reasons
        else:
            assert everywhere and refused_by_decoding(pipeline, bad)
        assert pipeline.row(good).state == SeriesState.QUEUED
        assert verify(pipeline.db).ok


def refused_by_decoding(pipeline: Pipeline, series: HeadSeries) -> bool:
    """As the worker meets it."""
    paths = [
        pipeline.spool.absolute(one.path) for one in instance_paths(pipeline.db, pipeline.row(series).id)
    ]
    with pytest.raises(NotAnalysable):
        list(iterate_hounsfield(paths[0], list_frames(read_headers(paths[:1])[0])))
    return True


def payload(path: Path) -> bytes:
    """The data set of a file, or all of it where it is none."""
    raw = path.read_bytes()
    try:
        return data_set_in(raw) or raw
    except (AssertionError, IndexError):
        return raw


def store_raw(node: Node, head: Dataset, bodies: Sequence[bytes]) -> list[int | None]:
    """C-STORE of bytes that this test's own library never looks at, over one association; the statuses."""
    statuses = []
    context = (str(head.SOPClassUID), str(head.file_meta.TransferSyntaxUID))
    with associate(node.peer(), "HOSTILE", [context]) as association:
        for number, body in enumerate(bodies, start=1):
            request = C_STORE()
            request.MessageID, request.Priority = number, 2
            request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = (
                head.SOPClassUID,
                head.SOPInstanceUID,
            )
            request.DataSet = BytesIO(body)
            association._reactor_checkpoint.clear()
            association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
            _, answer = association.dimse.get_msg(block=True)
            association._reactor_checkpoint.set()
            statuses.append(None if answer is None else answer.Status)
    return statuses


def check_serves(node: Node, folder: Path) -> None:
    """A good instance is taken."""
    good: Dataset = make_ct(9, series="1.2.3.9")
    path = write_ct(folder, good)
    path = path.rename(folder / "good.dcm")
    assert [answer.status for answer in node.send(path)] == [0x0000]
    assert not list(node.spool.rglob("*.tmp"))


def tree(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "hostile" not in path.parts[len(folder.parts)]}
