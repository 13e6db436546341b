"""Cases made by hand, each wrong in one known way."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from glianet.nifti import write_nifti
from training.check_cases import check_cases
from training.manifest import CasesError, ManifestCase
from training.nifti import write_grid

SHAPE = (6, 20, 24)
AFFINE = np.array([[0, 0, 0.4, -5], [0, 0.4, 0, -6], [0.5, 0, 0, 7], [0, 0, 0, 1]], float)


def _hu(brain: int = 40) -> NDArray[np.int16]:
    """Air, with a block of brain in a shell of bone."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, 4:16, 4:20] = 700
    hu[:, 6:14, 6:18] = brain
    return hu


def _label(*voxels: tuple[int, int, int]) -> NDArray[np.uint8]:
    label = np.zeros(SHAPE, np.uint8)
    for voxel in voxels:
        label[voxel] = 1
    return label


def _case(
    folder: Path, name: str = "a", hu: NDArray | None = None, label: NDArray | None = None, **entries: object
) -> ManifestCase:
    image = folder / f"{name}.nii.gz"
    write_grid(image, _hu(40 + ord(name)) if hu is None else hu, AFFINE)
    drawn = folder / f"{name}-label.nii.gz"
    write_grid(drawn, _label((2, 8, 8)) if label is None else label, AFFINE)
    return replace(ManifestCase(name, image, drawn, f"patient {name}"), **entries)  # type: ignore[arg-type]


def _problems(*cases: ManifestCase) -> tuple[str, ...]:
    with pytest.raises(CasesError) as caught:
        check_cases(cases)
    return caught.value.problems


def test_what_the_files_hold(tmp_path: Path) -> None:
    label = _label((5, 10, 10), (4, 11, 11))  # they touch at a corner
    label[1:3, 7:9, 7:9] = 2
    case = _case(tmp_path, label=label)
    seen: list[tuple[str, int, int]] = []
    (found,) = check_cases([case], lambda *what: seen.append(what))
    assert found.case == case
    assert found.shape == SHAPE
    assert found.spacing_mm == pytest.approx((0.5, 0.4, 0.4))
    assert found.aneurysms is not None
    assert [one.voxels for one in found.aneurysms] == [8, 2]
    assert [one.volume_mm3 for one in found.aneurysms] == pytest.approx([0.64, 0.16])  # 0.08 mm3 a voxel
    assert [one.diameter_mm for one in found.aneurysms] == pytest.approx(
        [2 * (0.64 * 3 / 4 / math.pi) ** (1 / 3), 2 * (0.16 * 3 / 4 / math.pi) ** (1 / 3)]
    )
    assert seen == [("a", 1, 1)]


def test_no_aneurysm_is_told_from_no_label(tmp_path: Path) -> None:
    negative, unknown = check_cases([_case(tmp_path, "a", label=_label()), replace(_case(tmp_path, "b"), label=None)])
    assert negative.aneurysms == ()
    assert unknown.aneurysms is None


def test_the_order_in_which_a_label_is_stored_does_not_matter(tmp_path: Path) -> None:
    case = _case(tmp_path)
    assert case.label
    write_nifti(case.label, _label((2, 8, 8)), AFFINE, "RAS")
    (found,) = check_cases([case])
    assert found.aneurysms is not None and len(found.aneurysms) == 1


@pytest.mark.parametrize(
    ("entry", "change", "wrong"), [((2, 3), 0.002, True), ((2, 3), 0.0005, False), ((0, 2), -0.002, True)]
)
def test_label_and_image_must_lie_alike(tmp_path: Path, entry: tuple[int, int], change: float, wrong: bool) -> None:
    case = _case(tmp_path)
    affine = AFFINE.copy()
    affine[entry] += change
    assert case.label
    write_grid(case.label, _label(), affine)
    if not wrong:
        assert check_cases([case])
        return
    (problem,) = _problems(case)
    assert problem == "a: image and label lie differently in the patient: their affines differ by up to 0.002 mm"


def test_shapes_must_agree(tmp_path: Path) -> None:
    assert _problems(_case(tmp_path, label=_label()[:-1])) == (
        "a: the image has shape (6, 20, 24), the label (5, 20, 24)",
    )


@pytest.mark.parametrize(("value", "told"), [(0.5, "0.5"), (-1, "-1"), (2.25, "2.25")])
def test_labels_are_whole_numbers_from_0(tmp_path: Path, value: float, told: str) -> None:
    label = _label((2, 8, 8)).astype(np.float32)
    label[3, 3, 3] = value
    assert _problems(_case(tmp_path, label=label)) == (
        f"a: the label holds {told}; it must hold whole numbers, 0 for background",
    )


def test_many_wrong_label_values_are_cut_short(tmp_path: Path) -> None:
    label = np.linspace(0.05, 0.95, int(np.prod(SHAPE)), dtype=np.float32).reshape(SHAPE)
    (problem,) = _problems(_case(tmp_path, label=label))
    assert problem.count(",") == 6 and ", ...; it must" in problem


@pytest.mark.parametrize(
    ("hu", "told"),
    [
        ((_hu() + 1000) / 4095.0, "scaled"),
        (_hu() + 1024, "stored values without their intercept"),
        (np.clip(_hu(), -100, 400), "no air below -200 HU"),
        (_hu() - 1024, "shows no bone"),
        (np.full(SHAPE, -1000), "every voxel is -1000"),
        (_hu() * 100.0, "HU must lie from -32768 to 32767"),
    ],
)
def test_images_must_hold_hu(tmp_path: Path, hu: NDArray, told: str) -> None:
    kind = np.int16 if hu.dtype.kind == "i" else np.float32
    (problem,) = _problems(_case(tmp_path, hu=hu.astype(kind)))
    assert problem.startswith("a: image ") and told in problem


@pytest.mark.parametrize("kind", ["image", "label"])
def test_every_voxel_is_a_number(tmp_path: Path, kind: str) -> None:
    values = (_hu() if kind == "image" else _label()).astype(np.float32)
    values[3, 3, 3] = np.nan
    (problem,) = _problems(_case(tmp_path, hu=values) if kind == "image" else _case(tmp_path, label=values))
    assert problem.startswith(f"a: the {kind} cannot be read: ") and "not finite" in problem


def test_padding_and_metal_are_hu(tmp_path: Path) -> None:
    hu = _hu()
    hu[:, :2], hu[0, 10, 10] = -3024, 20000
    assert check_cases([_case(tmp_path, hu=hu)])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing, broken = _case(tmp_path, "a"), _case(tmp_path, "b")
    missing.image.unlink()
    assert broken.label
    broken.label.write_bytes(broken.label.read_bytes()[:-40])
    first, second = _problems(missing, broken)
    assert first.startswith("a: the image cannot be read: ") and "there is no such file" in first
    assert second.startswith("b: the label cannot be read: ")


def test_no_patient_is_in_two_splits(tmp_path: Path) -> None:
    cases = [
        _case(tmp_path, name, patient=patient, split=split)
        for name, patient, split in (("a", "p", "train"), ("b", "p", "test"), ("c", "q", "test"), ("d", "q", ""))
    ]
    assert _problems(*cases) == (
        "patient p is in the splits test, train; put all cases of a patient into one",
    )


def test_no_file_serves_twice(tmp_path: Path) -> None:
    a, b = _case(tmp_path, "a"), _case(tmp_path, "b")
    (tmp_path / "link.nii.gz").symlink_to(a.label)  # type: ignore[arg-type]
    assert _problems(a, replace(b, label=tmp_path / "link.nii.gz")) == (
        f"{a.label} is used 2 times (label of a, label of b); give every case files of its own",
    )


def test_no_image_serves_twice_under_two_names(tmp_path: Path) -> None:
    assert _problems(_case(tmp_path, "a", hu=_hu()), _case(tmp_path, "b", hu=_hu().astype(np.float32))) == (
        "b: its image holds the same voxels as that of a; leave one of the two out",
    )


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"sex": "female"}, "sex 'female' is none of F, M, O"),
        ({"ruptured": "1"}, "ruptured '1' is neither yes nor no"),
        ({"age": 640.0}, "an age of 640 years"),
        ({"age": math.nan}, "an age of nan years"),
    ],
)
def test_entries_that_would_be_miscounted(tmp_path: Path, entries: dict[str, object], told: str) -> None:
    (problem,) = _problems(_case(tmp_path, **entries))
    assert told in problem


def test_a_ruptured_aneurysm_must_be_in_the_label(tmp_path: Path) -> None:
    assert _problems(_case(tmp_path, label=_label(), ruptured="yes")) == (
        "a: ruptured is yes, but the label holds no aneurysm",
    )


def test_all_problems_of_all_cases_are_told_at_once(tmp_path: Path) -> None:
    label = _label().astype(np.int16)
    label[0, 0, 0] = -3
    wrong = _case(tmp_path, "a", hu=_hu() + 1024, label=label, sex="?")
    problems = _problems(wrong, _case(tmp_path, "b"), _case(tmp_path, "c", age=-1.0))
    assert [problem[:1] for problem in problems] == ["a", "a", "a", "c"]
