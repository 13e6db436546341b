"""A folder of several series, some of which cannot be used."""

import shutil
from pathlib import Path

import pytest

from tests.support.head_series import change
from tests.training.made_series import KEY, TELLING, contents, make_series, uids_of
from training.import_folder import Imported, import_folder
from training.manifest import CasesError, read_manifest
from training.pseudonyms import read_key


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """ann-leckmann: a series; corrected: its segmentation; berta: a series alone; clara: one with a slice missing."""
    made = make_series(tmp_path / "made")
    root = tmp_path / "root"
    shutil.copytree(made.folder, root / "ann-leckmann")
    (root / "corrected").mkdir()
    shutil.copy(made.seg, root / "corrected" / "any.dcm")
    for name, uid in (("berta", "1.2.3.4.5.2"), ("clara", "1.2.3.4.5.3")):
        shutil.copytree(made.folder, root / name)
        for file in (root / name).iterdir():
            change(file, lambda image, uid=uid: setattr(image, "SeriesInstanceUID", uid))  # type: ignore[misc]
    sorted((root / "clara").iterdir())[5].unlink()
    (root / "berta" / "notes.txt").write_text("no DICOM file")
    return root


def _import(root: Path, out: Path, **options: object) -> Imported:
    return import_folder(root, out, institution="North", key=KEY, **options)  # type: ignore[arg-type]


def test_every_usable_series_becomes_a_case(root: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    out = tmp_path / "out"
    found = _import(root, out, progress=lambda *what: seen.append(what))
    assert [case.label is not None for case in found.cases] == [True, False]
    assert len({case.patient for case in found.cases}) == 1
    assert {case.institution for case in found.cases} == {"North"}
    assert read_manifest(out / "manifest.csv") == found.cases
    (problem,) = found.problems
    assert str(root / "clara") in problem and "missing-slice" in problem
    assert seen == [("ann-leckmann", 1, 3), ("berta", 2, 3), ("clara", 3, 3)]
    telling = [text.encode() for text in {*TELLING, "leckmann", *uids_of(root)}]
    assert len(telling) > 30
    assert not [text for path, stored in contents(out) for text in telling if text in stored + str(path.name).encode()]


def test_a_second_time_only_what_is_new_is_imported(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = _import(root, out)
    edited = (out / "manifest.csv").read_text().replace("North", "North-West")
    (out / "manifest.csv").write_text(edited)
    again = _import(root, out)
    assert (again.cases, again.already) == ((), tuple(case.case for case in first.cases))
    assert (out / "manifest.csv").read_text() == edited
    shutil.copytree(root / "clara", root / "dora")
    for number, file in enumerate(sorted((root / "dora").iterdir())):
        if number >= 5:
            file.unlink()
        else:
            change(file, lambda image: setattr(image, "SeriesInstanceUID", "1.2.3.4.5.4"))
    third = _import(root, out)
    assert [case.institution for case in read_manifest(out / "manifest.csv")] == ["North-West", "North-West", "North"]
    assert read_manifest(out / "manifest.csv")[2:] == third.cases


def test_without_a_segmentation_a_series_may_be_called_negative(root: Path, tmp_path: Path) -> None:
    positive, negative = _import(root, tmp_path / "out", negative=True).cases
    assert positive.label and negative.label
    assert positive.label.read_bytes() != negative.label.read_bytes()


def test_none_is_called_negative_while_a_segmentation_finds_no_series(root: Path, tmp_path: Path) -> None:
    change(root / "corrected" / "any.dcm", lambda seg: delattr(seg, "ReferencedSeriesSequence"))
    with pytest.raises(CasesError, match="no series can be called negative"):
        _import(root, tmp_path / "out", negative=True)
    assert not (tmp_path / "out").exists()
    found = _import(root, tmp_path / "out")
    assert [case.label for case in found.cases] == [None, None]
    assert found.problems[0].endswith("any.dcm: the segmentation refers to no series that is here")


def test_of_two_segmentations_none_is_chosen(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "corrected" / "any.dcm", root / "ann-leckmann" / "first.dcm")
    found = _import(root, tmp_path / "out")
    assert len(found.cases) == 1
    assert "2 segmentations refer to it" in found.problems[0]


def test_a_sub_folder_holds_one_series(root: Path, tmp_path: Path) -> None:
    shutil.move(root / "clara", root / "berta" / "clara")
    found = _import(root, tmp_path / "out")
    assert len(found.cases) == 1
    assert "it holds 2 CT series; put each into a sub-folder" in found.problems[0]


def test_folders_that_cannot_be_used(root: Path, tmp_path: Path) -> None:
    for source, out, told in (
        (root, root / "out", "would be written among the DICOM files"),
        (tmp_path / "none", tmp_path / "out", "there is no such folder"),
        (root / "corrected", tmp_path / "out", "none of its sub-folders holds a CT series"),
    ):
        with pytest.raises(CasesError, match=told):
            _import(source, out)


def test_a_key_is_long_enough(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(CasesError, match="the key cannot be read"):
        read_key(path)
    path.write_bytes(b"  short\n")
    with pytest.raises(CasesError, match="the key has 5 bytes, at least 32 are needed"):
        read_key(path)
    path.write_bytes(KEY + b"\n")
    assert read_key(path) == KEY
