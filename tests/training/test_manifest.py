"""Manifests as CSV and TOML, and every problem of one told at once."""

from pathlib import Path

import pytest

from training.manifest import CasesError, ManifestCase, of_split, read_manifest, write_manifest

HEADER = "case,image,label,patient,institution,split,age,sex,ruptured\n"


def test_csv_with_names_relative_to_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text(HEADER + "a,a/image.nii.gz,a/label.nii.gz,p1,North,train,61,F,yes\nb,/data/b.nii,,p2,,,,,\n")
    assert read_manifest(path) == (
        ManifestCase(
            "a", tmp_path / "a/image.nii.gz", tmp_path / "a/label.nii.gz", "p1", "North", "train", 61.0, "F", "yes"
        ),
        ManifestCase("b", Path("/data/b.nii"), None, "p2"),
    )


def test_optional_columns_may_be_absent_and_a_byte_order_mark_there(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_bytes(b"\xef\xbb\xbfpatient,case,image,label\r\np1, a ,a.nii,\r\n")
    assert read_manifest(path) == (ManifestCase("a", tmp_path / "a.nii", None, "p1"),)


def test_toml_holds_the_same(tmp_path: Path) -> None:
    path = tmp_path / "cases.toml"
    path.write_text('[[case]]\ncase = "a"\nimage = "a.nii"\npatient = "p1"\nsplit = "test-north"\nage = 61\n')
    assert read_manifest(path) == (ManifestCase("a", tmp_path / "a.nii", None, "p1", split="test-north", age=61.0),)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    cases = (
        ManifestCase("a", tmp_path / "a" / "i.nii", tmp_path / "a" / "l.nii", "p, 1", "Nörd", "test", 61.0, "M", "no"),
        ManifestCase("b", Path("/elsewhere/b.nii"), None, "p2"),
    )
    write_manifest(tmp_path / "cases.csv", cases)
    assert read_manifest(tmp_path / "cases.csv") == cases
    assert str(tmp_path) not in (tmp_path / "cases.csv").read_text()  # the folder can be moved


def test_every_problem_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text(HEADER + "a,,,p1,,training,old,,\na,i.nii,,,,,,,\n")
    with pytest.raises(CasesError) as caught:
        read_manifest(path)
    assert caught.value.problems == (
        "a: image is empty",
        "a: split 'training' is none of train, validation, test, test-NAME",
        "a: age 'old' is no number of years",
        "a: patient is empty",
        "a: more than one case has this name",
    )
    assert str(caught.value).startswith(f"{path}: 5 problems\n- a: image is empty\n")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("cases.csv", "case,image,patient\n", "column 'label' is missing"),
        ("cases.csv", "case,image,label,patient,spilt\n", "'spilt' is unknown"),
        ("cases.csv", HEADER, "it lists no case"),
        ("cases.toml", "[[case]]\nimages = 'x'\n", "case 1: 'images' is unknown"),
        ("cases.toml", "[[case]\n", "it cannot be read"),
        ("none.csv", None, "it cannot be read"),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, name: str, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(CasesError, match=told):
        read_manifest(tmp_path / name)


def test_of_split() -> None:
    cases = (ManifestCase("a", Path("a"), None, "p", split="train"), ManifestCase("b", Path("b"), None, "q"))
    assert of_split(cases, "train") == cases[:1]
    assert of_split(cases, "") == cases
    assert of_split(cases, "test") == ()
