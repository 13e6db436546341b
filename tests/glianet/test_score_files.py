"""Scores and risks beside the findings: quantised as stated, read back on the findings' grid, refused when foreign."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glianet.archive import archive_bytes, read_archive
from glianet.errors import FindingsError
from glianet.findings import Findings, Lesion
from glianet.score_files import (
    load_risk,
    load_scores,
    quantise,
    risk_path,
    save_risk,
    save_scores,
    scores_path,
)
from glianet.scores import RiskGrid

SHAPE = (10, 6, 7)
RISK = RiskGrid(np.array([0.25, 0.75], np.float32).reshape(2, 1, 1), ((-90, -86), (-3,), (-2,)))
"""Two positions along k: the first covers slices 0 to 5, the second 0 to 9."""


@pytest.fixture
def probability() -> np.ndarray:
    """Slices 4 and 6 hold lesions; a voxel below the threshold beside them, and one above it far away."""
    scores = np.zeros(SHAPE, np.float32)
    scores[4, 2, 1:4] = (0.501, 0.75, 0.875)
    scores[6, 3, 5] = 1.0
    scores[4, 0, 0] = 0.5  # not strictly above the threshold: an exact analysis has such scores
    scores[5, 5, 5] = 0.625  # above it, in a component that was dropped
    scores[9, 5, 5] = 0.625
    return scores


@pytest.fixture
def findings() -> Findings:
    labels = np.zeros(SHAPE, np.uint16)
    labels[4, 2, 1:4] = 1
    labels[6, 3, 5] = 2
    first = _lesion(1, ((4, 5), (2, 3), (1, 4)), 0.875)
    second = _lesion(2, ((6, 7), (3, 4), (5, 6)), 1.0)
    return Findings(
        labels=labels,
        affine=np.eye(4),
        lesions=(first, second),
        threshold=0.5,
        detection_threshold=0.75,
        minimum_volume_mm3=5.0,
        minimum_voxels=0,
        step=48,
        exact=False,
        weights_sha256="0f" * 32,
        algorithm_name="GLIA-Net",
        algorithm_version="0.1.0",
        patches_computed=7,
        patches_skipped=5,
        computation="torch float32 on cpu",
    )


def _lesion(number: int, box: tuple[tuple[int, int], ...], highest: float) -> Lesion:
    k, j, i = box
    centre = (k[0], j[0], i[0])
    return Lesion(number, 1, 1.0, 1.0, centre, (0.0, 0.0, 0.0), (k, j, i), highest, highest, 0.5)


@pytest.mark.parametrize(
    ("score", "byte"),
    [
        (0.0, 0),
        (1.0, 255),
        (0.001, 1),  # 0.255: nothing above 0 becomes 0
        (1e-30, 1),
        (0.5, 128),  # 127.5: halves go to the even byte
        (0.501, 128),
        (0.31001, 79),  # 79.05, which stands for 0.3098: below a threshold of 0.31
        (0.998, 254),  # 254.49
        (0.9981, 255),  # 254.52
    ],
)
def test_quantisation(score: float, byte: int) -> None:
    assert quantise(np.float32(score)) == byte


def test_quantisation_is_off_by_half_a_step_at_most_and_keeps_the_order() -> None:
    scores = np.linspace(0.002, 1, 10_001, dtype=np.float32)
    stored = quantise(scores)
    assert stored.dtype == np.uint8
    assert np.abs(stored / 255 - scores).max() <= 0.5 / 255 + 1e-7
    assert (np.diff(stored.astype(int)) >= 0).all()


def test_scores_come_back_on_the_grid(probability: np.ndarray, findings: Findings, tmp_path: Path) -> None:
    path = scores_path(tmp_path / "folder" / "3.npz")
    assert path == tmp_path / "folder" / "3-scores.npz"
    save_scores(probability, findings, path)
    expected = np.zeros(SHAPE, np.uint8)
    expected[4, 2, 1:4] = (128, 191, 223)  # 127.755, 191.25, 223.125
    expected[6, 3, 5] = 255
    expected[5, 5, 5] = 159  # 159.375
    loaded = load_scores(path, findings)
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, expected)


def test_only_slices_with_lesions_are_stored(
    probability: np.ndarray, findings: Findings, tmp_path: Path
) -> None:
    path = tmp_path / "1-scores.npz"
    save_scores(probability, findings, path)
    assert np.load(path)["scores"].shape == (3, 6, 7)


def test_findings_without_a_lesion(probability: np.ndarray, findings: Findings, tmp_path: Path) -> None:
    nothing = replace(findings, lesions=(), labels=np.zeros(SHAPE, np.uint16))
    save_scores(probability, nothing, tmp_path / "1-scores.npz")
    assert not load_scores(tmp_path / "1-scores.npz", nothing).any()


def test_risks_come_back(findings: Findings, tmp_path: Path) -> None:
    path = risk_path(tmp_path / "3.npz")
    assert path == tmp_path / "3-risk.npz"
    save_risk(RISK, findings, path)
    loaded = load_risk(path, findings)
    assert loaded.starts == RISK.starts
    assert loaded.values.dtype == np.float32
    np.testing.assert_array_equal(loaded.values, RISK.values)
    assert [loaded.at((k, 0, 0)) for k in (5, 6)] == [0.5, 0.75]


def test_the_same_content_is_the_same_bytes(
    probability: np.ndarray, findings: Findings, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        save_scores(probability.copy(), findings, tmp_path / f"{name}-scores.npz")
        save_risk(RiskGrid(RISK.values.copy(), RISK.starts), findings, tmp_path / f"{name}-risk.npz")
    for kind in ("scores", "risk"):
        one, two = (tmp_path / f"{name}-{kind}.npz" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights_sha256": "aa" * 32}, "weights_sha256 is '0f0f"),
        ({"threshold": 0.4}, "threshold is 0.5, of the findings 0.4"),
        ({"detection_threshold": 0.8}, "detection_threshold is 0.75, of the findings 0.8"),
        ({"step": 32}, "step is 48"),
        ({"algorithm_version": "0.2.0"}, "algorithm_version"),
        ({"computation": "openvino"}, "computation"),
        ({"labels": np.zeros((10, 6, 8), np.uint16)}, "shape is"),
    ],
)
def test_files_of_another_analysis_are_refused(
    probability: np.ndarray, findings: Findings, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    scores, risk = tmp_path / "1-scores.npz", tmp_path / "1-risk.npz"
    save_scores(probability, findings, scores)
    save_risk(RISK, findings, risk)
    other = replace(findings, **change)
    with pytest.raises(FindingsError, match=f"of another analysis: {message}") as caught:
        load_scores(scores, other)
    assert caught.value.where == str(scores)
    with pytest.raises(FindingsError, match=f"of another analysis: {message}"):
        load_risk(risk, other)


def test_scores_that_are_not_the_lesions_are_refused(
    probability: np.ndarray, findings: Findings, tmp_path: Path
) -> None:
    path = tmp_path / "1-scores.npz"
    lower = probability.copy()
    lower[6, 3, 5] = 0.9
    save_scores(lower, findings, path)
    with pytest.raises(FindingsError, match="it does not hold the scores of lesion 2"):
        load_scores(path, findings)
    lower = probability.copy()
    lower[4, 2, 1] = 0.4
    save_scores(lower, findings, path)
    with pytest.raises(FindingsError, match="it does not hold the scores of lesion 1"):
        load_scores(path, findings)



def rewrite(path: Path, name: str, change: Callable[[dict[str, Any], dict[str, np.ndarray]], None]) -> None:
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        document = json.loads(archive.read(f"{name}.json"))
    arrays = {name: np.load(path)[name]}
    change(document, arrays)
    path.write_bytes(archive_bytes(name, document, arrays))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document, arrays: document.update(format="glianet-scores-9"), "its format is 'glianet-scores-9'"),
        (lambda document, arrays: document.update(first_slice=3), "the slices with lesions"),
        (lambda document, arrays: document.pop("first_slice"), "first_slice"),
        (lambda document, arrays: arrays.update(scores=arrays["scores"][:2]), "the slices with lesions"),
        (lambda document, arrays: arrays.update(scores=arrays["scores"][:, :3]), "broadcast"),
        (lambda document, arrays: arrays.update(scores=arrays["scores"].astype(np.int16)), "the slices with"),
    ],
)
def test_scores_that_contradict_themselves_are_refused(
    probability: np.ndarray, findings: Findings, tmp_path: Path, change: Callable[..., None], message: str
) -> None:
    path = tmp_path / "1-scores.npz"
    save_scores(probability, findings, path)
    rewrite(path, "scores", change)
    with pytest.raises(FindingsError, match=message):
        load_scores(path, findings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document, arrays: document.update(starts=[[-90], [-3], [-2]]), "do not fit the positions"),
        (lambda document, arrays: document.update(starts=[[-90, -88], [-3], [-2]]), "leave a part of the volume out"),
        (lambda document, arrays: arrays.update(risk=arrays["risk"] * np.float32(2)), "not from 0 to 1"),
        (lambda document, arrays: arrays.update(risk=arrays["risk"] * np.float32(np.nan)), "not from 0 to 1"),
        (lambda document, arrays: arrays.update(risk=arrays["risk"].astype(np.float64)), "do not fit"),
    ],
)
def test_risks_that_contradict_themselves_are_refused(
    findings: Findings, tmp_path: Path, change: Callable[..., None], message: str
) -> None:
    path = tmp_path / "1-risk.npz"
    save_risk(RISK, findings, path)
    rewrite(path, "risk", change)
    with pytest.raises(FindingsError, match=message):
        load_risk(path, findings)


def test_damaged_and_absent_files_are_refused(
    probability: np.ndarray, findings: Findings, tmp_path: Path
) -> None:
    path = tmp_path / "1-scores.npz"
    with pytest.raises(FindingsError, match="the scores cannot be read .*No such file"):
        load_scores(path, findings)
    with pytest.raises(FindingsError, match="the risks cannot be read"):
        load_risk(path, findings)
    save_scores(probability, findings, path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FindingsError, match="not a zip file"):
        load_scores(path, findings)


def test_a_file_of_the_other_kind_is_refused(
    probability: np.ndarray, findings: Findings, tmp_path: Path
) -> None:
    save_scores(probability, findings, tmp_path / "1.npz")
    with pytest.raises(FindingsError, match=r"no item named 'risk.json'"):
        load_risk(tmp_path / "1.npz", findings)


def test_scores_kept_by_a_version_with_one_threshold_are_still_used(
    probability: np.ndarray, findings: Findings, tmp_path: Path
) -> None:
    """An upgrade meets them beside findings that wait to be published, which then have one threshold too."""
    path = tmp_path / "1-scores.npz"
    save_scores(probability, findings, path)
    document, (kept,) = read_archive(path, "scores", "scores")
    del document["detection_threshold"]
    path.write_bytes(archive_bytes("scores", document, {"scores": kept}))
    one_threshold = replace(findings, detection_threshold=findings.threshold)
    np.testing.assert_array_equal(load_scores(path, one_threshold)[4:7], kept)
    with pytest.raises(FindingsError, match="detection_threshold is 0.5, of the findings 0.75"):
        load_scores(path, findings)
