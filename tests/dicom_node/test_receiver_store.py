"""C-STORE over real associations: what is kept, what is refused and with which status."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from pydicom import Dataset
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)

from dicom_node.association import AssociationFailed, accepted_contexts, associate
from dicom_node.receiver import server
from dicom_node.receiver.registrar import Registrar
from dicom_node.receiver.store import Intake, store_instance
from storage.audit import entries
from storage.errors import DiskFull
from storage.series import get_series, instance_paths
from storage.spool import Spool
from tests.support.dicom_network import (
    STUDY,
    Node,
    data_set_of,
    encode,
    make_ct,
    running_node,
    write_ct,
    write_raw,
)

LOSSLESS = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
]
LOSSY = [JPEGBaseline8Bit, JPEGLSNearLossless, JPEG2000]
SERIES = f"{STUDY}.1"


def refusals(node: Node) -> list[dict[str, object]]:
    node.wait_until_written()
    return [entry.detail for entry in entries(node.db, event="instance-refused")]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    with running_node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.mark.parametrize("transfer_syntax", LOSSLESS, ids=lambda uid: uid.name)
def test_each_lossless_transfer_syntax_is_kept_byte_by_byte(
    node: Node, tmp_path: Path, transfer_syntax: str
) -> None:
    series = f"{STUDY}.2.{LOSSLESS.index(transfer_syntax)}"
    file = write_ct(tmp_path, make_ct(series=series, transfer_syntax=transfer_syntax))
    (answer,) = node.send(file)
    assert answer.status == 0x0000
    node.wait_until_written()
    (row,) = instance_paths(node.db, get_series(node.db, series).id)
    spooled = node.spool / row.path
    assert data_set_of(spooled) == data_set_of(file)
    assert row.transfer_syntax_uid == transfer_syntax
    assert row.size == spooled.stat().st_size


@pytest.mark.parametrize("sop_class", [EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage])
def test_multi_frame_ct_is_kept(node: Node, tmp_path: Path, sop_class: str) -> None:
    series = f"{STUDY}.3.{sop_class.rpartition('.')[2]}"
    file = write_ct(tmp_path, make_ct(series=series, sop_class=sop_class))
    (answer,) = node.send(file)
    assert answer.status == 0x0000
    node.wait_until_written()
    (row,) = instance_paths(node.db, get_series(node.db, series).id)
    assert row.sop_class_uid == sop_class


def test_lossy_transfer_syntaxes_are_refused_in_negotiation(node: Node) -> None:
    proposed = [(CTImageStorage, syntax) for syntax in [*LOSSY, *LOSSLESS]]
    with associate(node.peer(), "SCANNER", proposed) as association:
        accepted = {syntax for _, syntax in accepted_contexts(association)}
    assert accepted == set(LOSSLESS)
    with (
        pytest.raises(AssociationFailed, match="refused: CT Image Storage in JPEG Baseline"),
        associate(node.peer(), "SCANNER", [(CTImageStorage, JPEGBaseline8Bit)]),
    ):
        pytest.fail("the association was accepted")


def test_uids_that_differ_from_the_command_get_a900(tmp_path: Path) -> None:
    of_command, of_data = make_ct(1), make_ct(2)
    other_class = make_ct(1, sop_class=EnhancedCTImageStorage)
    body = data_set_of(write_ct(tmp_path, of_data))
    other_body = data_set_of(write_ct(tmp_path, other_class))
    with running_node(tmp_path) as node:
        first, second = node.send(
            write_raw(tmp_path / "instance", of_command, body),
            write_raw(tmp_path / "class", of_command, other_body),
        )
        assert (first.status, second.status) == (0xA900, 0xA900)
        assert first.comment == "SOPInstanceUID differs from the command's"
        assert second.comment == "SOPClassUID differs from the command's"
        audited = refusals(node)
        assert list(Spool(node.spool).files()) == []
    assert [one["status"] for one in audited] == ["0xA900", "0xA900"]
    assert audited[0]["affected_sop_instance_uid"] == of_command.SOPInstanceUID
    assert audited[0]["calling_ae_title"] == "SCANNER"


@pytest.mark.parametrize(
    ("transfer_syntax", "body"),
    [
        (ExplicitVRLittleEndian, b""),
        (ExplicitVRLittleEndian, b"\0" * 1000),
        (ImplicitVRLittleEndian, bytes(range(256)) * 8),
        (ExplicitVRBigEndian, b"\xff" * 333),
        (DeflatedExplicitVRLittleEndian, b"this is not deflated"),
    ],
)
def test_garbage_gets_c000(node: Node, tmp_path: Path, transfer_syntax: str, body: bytes) -> None:
    head_of = make_ct(1, series=f"{STUDY}.66", transfer_syntax=transfer_syntax)
    garbage = write_raw(tmp_path / "garbage", head_of, body or b"\0\0")
    good = write_ct(tmp_path, make_ct(2, series=f"{STUDY}.67", transfer_syntax=transfer_syntax))
    answers = node.send(garbage, good)
    assert 0xC000 <= (answers[0].status or 0) <= 0xCFFF
    assert answers[1].status == 0x0000  # the association goes on


def test_command_of_another_class_than_its_context_is_refused() -> None:
    dataset = make_ct(sop_class=EnhancedCTImageStorage)
    refused: list[object] = []
    event = SimpleNamespace(
        encoded_dataset=lambda include_meta: encode(dataset),
        context=SimpleNamespace(abstract_syntax=CTImageStorage, transfer_syntax=ExplicitVRLittleEndian),
        request=SimpleNamespace(
            AffectedSOPClassUID=EnhancedCTImageStorage, AffectedSOPInstanceUID=dataset.SOPInstanceUID
        ),
        assoc=SimpleNamespace(requestor=SimpleNamespace(ae_title="SCANNER", address="192.0.2.1")),
    )
    book = SimpleNamespace(count=lambda association, what: refused.append(what))
    registrar = SimpleNamespace(note=refused.append)
    intake = Intake(None, None, registrar, book, None, 0, ())  # type: ignore[arg-type]
    answer = store_instance(event, intake)  # type: ignore[arg-type]
    assert isinstance(answer, Dataset)
    assert answer.Status == 0x0122
    assert refused[0] == "refused"


def test_equal_instance_again_is_ignored_and_another_one_is_kept_beside(tmp_path: Path) -> None:
    file = write_ct(tmp_path / "first", make_ct(1))
    other = write_ct(tmp_path / "other", make_ct(1, value=100))
    with running_node(tmp_path) as node:
        assert [answer.status for answer in node.send(file, file)] == [0, 0]
        assert [answer.status for answer in node.send(file, calling="A_LONGER_SENDER")] == [0]
        node.wait_until_written()
        assert not get_series(node.db, SERIES).conflicting
        assert [answer.status for answer in node.send(other, other)] == [0, 0]
        node.wait_until_written()
        row = get_series(node.db, SERIES)
        rows = instance_paths(node.db, row.id)
        events = [entry.event for entry in entries(node.db)]
        stored = {data_set_of(node.spool / one.path) for one in rows}
    assert row.conflicting
    assert row.instance_count == 1
    assert [one.conflict for one in rows] == [False, True]
    assert stored == {data_set_of(file), data_set_of(other)}
    assert events.count("instance-duplicate") == 3
    assert events.count("instance-conflict") == 1


def test_two_interleaved_series_on_one_association(tmp_path: Path) -> None:
    files = [
        write_ct(tmp_path, make_ct(number, series=f"{STUDY}.{series}"))
        for number in range(1, 6)
        for series in ("10", "11")
    ]
    with running_node(tmp_path) as node:
        assert {answer.status for answer in node.send(*files)} == {0}
        node.wait_until_written()
        rows = [get_series(node.db, f"{STUDY}.{series}") for series in ("10", "11")]
        sent = [{one.sop_instance_uid for one in instance_paths(node.db, row.id)} for row in rows]
        (ended,) = entries(node.db, event="association-accepted")
    assert [row.instance_count for row in rows] == [5, 5]
    assert [row.sender_ae_title for row in rows] == ["SCANNER", "SCANNER"]
    assert sent[0] == {f"{STUDY}.10.{number}" for number in range(1, 6)}
    assert sent[1] == {f"{STUDY}.11.{number}" for number in range(1, 6)}
    assert ended.detail["stored"] == 10
    assert ended.detail["end"] == "released"
    assert ended.detail["address"] == "127.0.0.1"


def test_announced_number_of_instances_is_registered(tmp_path: Path) -> None:
    dataset = make_ct(1)
    dataset.NumberOfSeriesRelatedInstances = 42
    with running_node(tmp_path) as node:
        node.send(write_ct(tmp_path, dataset))
        node.wait_until_written()
        assert get_series(node.db, SERIES).announced_instances == 42


def test_below_the_free_space_floor_answers_a700(tmp_path: Path) -> None:
    """One row for the first, and a count of all in that of the association: rows would take of what is left."""
    files = [write_ct(tmp_path, make_ct(number)) for number in (1, 2, 3)]
    with running_node(tmp_path, receiver={"minimum_free_gib": 100000.0}) as node:
        statuses = [answer.status for answer in node.send(*files)]
        (audited,) = refusals(node)
        node.wait_until_written()
        (row,) = entries(node.db, event="association-accepted")
        assert list(Spool(node.spool).files()) == []
    assert statuses == [0xA700] * 3
    assert audited["reason"] == "free disk space is below the set minimum"
    assert (row.detail["refused"], row.detail["refused_below_free_space"]) == (3, 3)


def test_full_disk_answers_a700_and_the_next_instance_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, calls = Spool.store, []

    def full_at_first(self: Spool, *arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise DiskFull(str(tmp_path))
        return store(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Spool, "store", full_at_first)
    file = write_ct(tmp_path, make_ct(1))
    with running_node(tmp_path) as node:
        assert [answer.status for answer in node.send(file, file)] == [0xA700, 0]
        node.wait_until_written()
        assert get_series(node.db, SERIES).instance_count == 1


def test_locked_database_answers_a700_once_the_places_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_places(db: object, clock: object) -> Registrar:
        return Registrar(db, clock, places=2, patience_s=0.05)  # type: ignore[arg-type]

    monkeypatch.setattr(server, "Registrar", two_places)
    files = [write_ct(tmp_path, make_ct(number)) for number in (1, 2, 3)]
    with running_node(tmp_path) as node:
        with node.db.transaction():
            statuses = [answer.status for answer in node.send(*files)]
        assert statuses == [0, 0, 0xA700]
        node.wait_until_written()
        assert get_series(node.db, SERIES).instance_count == 2  # what was confirmed is there
        for file in files:  # one by one: three at once would race with the writing of the first two
            assert [answer.status for answer in node.send(file)] == [0]
            node.wait_until_written()
