import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from glianet.archive import archive_bytes
from glianet.errors import FindingsError
from glianet.findings import Findings, Lesion, findings_to_json, load_findings, save_findings

LESION = Lesion(
    number=1,
    voxels=3,
    volume_mm3=0.3,
    maximum_diameter_mm=1.5,
    centre_index=(4, 2, 2),
    centre_lps_mm=(1.25, -2.5, 1 / 3),
    bounding_box=((4, 5), (2, 3), (1, 4)),
    mean_score=0.75,
    maximum_score=0.875,
    risk=0.5,
)


@pytest.fixture
def findings() -> Findings:
    labels = np.zeros((10, 6, 7), np.uint16)
    labels[4, 2, 1:4] = 1
    labels[6, 3, 5] = 2
    second = replace(
        LESION, number=2, voxels=1, centre_index=(6, 3, 5), bounding_box=((6, 7), (3, 4), (5, 6))
    )
    return Findings(
        labels=labels,
        affine=np.array([[0, 0.1, 0.4, 1 / 3], [0, 0.4, -0.1, 2], [0.6, 0, 0, 3], [0, 0, 0, 1]]),
        lesions=(LESION, second),
        threshold=0.5,
        detection_threshold=0.75,
        minimum_volume_mm3=5.0,
        minimum_voxels=11,
        step=48,
        exact=False,
        weights_sha256="0f" * 32,
        algorithm_name="GLIA-Net",
        algorithm_version="0.1.0",
        patches_computed=7,
        patches_skipped=5,
    )


def _equal(first: Findings, second: Findings) -> bool:
    same_arrays = np.array_equal(first.labels, second.labels) and np.array_equal(first.affine, second.affine)
    arrays = {"labels": first.labels, "affine": first.affine}
    return same_arrays and vars(replace(second, **arrays)) == vars(first)


def test_what_is_saved_is_what_is_loaded(findings: Findings, tmp_path: Path) -> None:
    save_findings(findings, tmp_path / "new" / "folder" / "1.npz")
    loaded = load_findings(tmp_path / "new" / "folder" / "1.npz")
    assert _equal(findings, loaded)
    assert loaded.labels.dtype == np.uint16 and loaded.affine.dtype == np.float64


def test_findings_without_a_lesion(findings: Findings, tmp_path: Path) -> None:
    nothing = replace(findings, lesions=(), labels=np.zeros((10, 6, 7), np.uint16))
    save_findings(nothing, tmp_path / "0.npz")
    assert _equal(nothing, load_findings(tmp_path / "0.npz"))


def test_the_same_findings_are_the_same_bytes(findings: Findings, tmp_path: Path) -> None:
    save_findings(findings, tmp_path / "a")
    save_findings(replace(findings, labels=np.asfortranarray(findings.labels)), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def _stored(path: Path) -> tuple[dict[str, Any], NDArray[np.uint16]]:
    with zipfile.ZipFile(path) as archive:
        labels = np.load(io.BytesIO(archive.read("labels.npy")), allow_pickle=False)
        return json.loads(archive.read("findings.json")), labels


def test_only_the_box_with_lesions_is_stored(findings: Findings, tmp_path: Path) -> None:
    """Lesion 1 fills (4, 2, 1) to (4, 2, 3), lesion 2 is the voxel (6, 3, 5): 3 x 2 x 5 voxels from (4, 2, 1)."""
    save_findings(findings, tmp_path / "a")
    document, stored = _stored(tmp_path / "a")
    assert document["first_voxel"] == [4, 2, 1]
    expected = np.zeros((3, 2, 5), np.uint16)
    expected[0, 0, :3] = 1
    expected[2, 1, 4] = 2
    np.testing.assert_array_equal(stored, expected)


def test_a_file_of_whole_slices_is_still_read(findings: Findings, tmp_path: Path) -> None:
    """As the version before wrote it: an upgrade meets findings that wait to be published."""
    save_findings(findings, tmp_path / "a")
    document, _ = _stored(tmp_path / "a")
    del document["first_voxel"], document["detection_threshold"]
    document |= {"format": "glianet-findings-1", "first_slice": 4}
    (tmp_path / "b").write_bytes(archive_bytes("findings", document, {"labels": findings.labels[4:7]}))
    one_threshold = replace(findings, detection_threshold=findings.threshold)
    assert _equal(one_threshold, load_findings(tmp_path / "b"))
    document["first_slice"] = 8
    (tmp_path / "b").write_bytes(archive_bytes("findings", document, {"labels": findings.labels[4:7]}))
    with pytest.raises(FindingsError, match="labels do not fit"):
        load_findings(tmp_path / "b")


def test_json_holds_everything_but_the_voxels(findings: Findings) -> None:
    document = json.loads(findings_to_json(findings))
    assert document["notice"] == "For research use only. Not for diagnosis."
    assert document["shape"] == [10, 6, 7] and document["affine"] == findings.affine.tolist()
    assert document["weights_sha256"] == "0f" * 32
    assert document["lesions"][0]["centre_lps_mm"] == [1.25, -2.5, 1 / 3]
    assert document["lesions"][0]["bounding_box"] == [[4, 5], [2, 3], [1, 4]]
    assert [lesion["number"] for lesion in document["lesions"]] == [1, 2]


def _rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    with zipfile.ZipFile(path) as archive:
        document, labels = json.loads(archive.read("findings.json")), archive.read("labels.npy")
    change(document)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("findings.json", json.dumps(document))
        archive.writestr("labels.npy", labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.update(format="glianet-findings-9"), "format is 'glianet-findings-9'"),
        (lambda document: document.update(first_voxel=[4, 2, 0]), "labels do not fit"),
        (lambda document: document.update(shape=[10, 6, 5]), "labels do not fit"),
        (lambda document: document.update(shape=[6, 6, 7]), "labels do not fit"),
        (lambda document: document["lesions"][0].update(bounding_box=[[4, 5], [2, 3], [0, 4]]), "labels do not fit"),
        (lambda document: document["lesions"][0].update(voxels=4), "voxels that the lesions state"),
        (lambda document: document["lesions"].pop(), "labels do not fit"),
        (lambda document: document["lesions"].append(document["lesions"][0]), "voxels that the lesions state"),
        (lambda document: document["lesions"][0].pop("risk"), "risk"),
        (lambda document: document.pop("step"), "step"),
        (lambda document: document.update(affine=[[0.0] * 4] * 4), "last row"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    findings: Findings, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    path = tmp_path / "1.npz"
    save_findings(findings, path)
    _rewrite(path, change)
    with pytest.raises(FindingsError, match=message) as caught:
        load_findings(path)
    assert caught.value.where == str(path)


def test_a_damaged_or_absent_file_is_refused(findings: Findings, tmp_path: Path) -> None:
    path = tmp_path / "1.npz"
    with pytest.raises(FindingsError, match="No such file"):
        load_findings(path)
    save_findings(findings, path)
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    with pytest.raises(FindingsError, match="not a zip file"):
        load_findings(path)
    path.write_bytes(content[:120] + bytes([content[120] ^ 1]) + content[121:])
    with pytest.raises(FindingsError):
        load_findings(path)


def test_findings_and_volumes_are_read_without_torch() -> None:
    modules = "errors, findings, volume, scores, tiling, global_volume, weights_file, durable, cli, nifti"
    program = f"import sys; from glianet import {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
