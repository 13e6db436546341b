"""Maps that are kept beside the findings: risks and scores, where they are set, wanted, or cannot be kept."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from dicom_node import analysis
from dicom_node.analysis import _findings_path
from glianet.findings import load_findings
from glianet.score_files import load_risk, load_scores, risk_path, scores_path
from storage.states import SeriesState
from tests.support.analyses import LESION, accept, analyse, stand_in_for_the_network
from tests.support.pipeline import open_pipeline, small_series


@pytest.fixture
def after_patch(monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[[], object]]:
    return stand_in_for_the_network(monkeypatch)


def test_the_risk_map_is_kept_beside_the_findings_where_it_is_set(
    tmp_path: Path, after_patch: dict[int, Callable[[], object]]
) -> None:
    with open_pipeline(tmp_path / "node", results={"risk_map": True}) as pipeline:
        made = small_series(tmp_path)
        accept(pipeline, made)
        assert analyse(pipeline)
        (path,) = pipeline.folders.findings.rglob("*-risk.nii.gz")
        risk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        assert risk.shape == made.hu.shape and (risk == 0.5).all()
        (entry,) = pipeline.audit("series-analysed")
        assert entry.detail["risk_map"] == path.name == "1-risk.nii.gz"
        assert entry.detail["risk_grid"] == "1-risk.npz"
        assert "scores" not in entry.detail and not list(pipeline.folders.findings.rglob("*scores*"))


def test_a_risk_map_that_cannot_be_kept_is_in_the_audit_log_and_the_findings_stay(
    tmp_path: Path, after_patch: dict[int, Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(analysis, "write_nifti", refuse)
    with open_pipeline(tmp_path / "node", results={"risk_map": True}) as pipeline:
        made = small_series(tmp_path)
        accept(pipeline, made)
        assert analyse(pipeline)
        assert pipeline.row(made).state == SeriesState.ANALYSED
        (entry,) = pipeline.audit("series-analysed")
        assert (entry.detail["risk_map"], entry.detail["risk_map_error"]) == (None, "OSError")


def destination(**switches: str) -> dict[str, object]:
    return {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 4242, **switches}


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ({}, set()),
        ({"probability": "on"}, {"1-scores.npz"}),
        ({"risk_map": "on"}, {"1-risk.npz"}),
        ({"risk_map": "on", "risk_map_form": "segmentation"}, {"1-risk.npz"}),
        ({"profile": "archive"}, {"1-scores.npz", "1-risk.npz"}),
    ],
)
def test_what_a_destination_wants_maps_of_is_kept_beside_the_findings(
    tmp_path: Path, after_patch: dict[int, Callable[[], object]], wanted: dict[str, str], kept: set[str]
) -> None:
    """One destination that wants it is enough."""
    other = {**destination(), "name": "other"}
    with open_pipeline(tmp_path / "node", destination=[other, destination(**wanted)]) as pipeline:
        made = small_series(tmp_path)
        accept(pipeline, made)
        assert analyse(pipeline)
        path = pipeline.folders.findings / str(pipeline.row(made).findings_path)
        assert {file.name for file in path.parent.iterdir()} == {"1.npz", *kept}
        (entry,) = pipeline.audit("series-analysed")
        assert {entry.detail[name] for name in ("scores", "risk_grid") if name in entry.detail} == kept


def test_scores_and_risks_that_are_kept_are_those_of_the_network(
    tmp_path: Path, after_patch: dict[int, Callable[[], object]]
) -> None:
    with open_pipeline(tmp_path / "node", destination=[destination(profile="archive")]) as pipeline:
        made = small_series(tmp_path)
        accept(pipeline, made)
        assert analyse(pipeline)
        path = pipeline.folders.findings / str(pipeline.row(made).findings_path)
        findings = load_findings(path)
        expected = np.zeros(made.hu.shape, np.uint8)
        expected[LESION] = 223  # 0.875 of 255
        np.testing.assert_array_equal(load_scores(scores_path(path), findings), expected)
        risk = load_risk(risk_path(path), findings)
        assert (risk.values.tolist(), risk.starts) == ([[[0.5]]], ((0,), (0,), (0,)))


def test_scores_that_cannot_be_kept_are_in_the_audit_log_and_the_findings_stay(
    tmp_path: Path, after_patch: dict[int, Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of an analysis before this one go: they are not those of these findings."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with open_pipeline(tmp_path / "node", destination=[destination(profile="archive")]) as pipeline:
        made = small_series(tmp_path)
        accept(pipeline, made)
        stale = scores_path(pipeline.folders.findings / _findings_path(pipeline.row(made)))
        stale.parent.mkdir(parents=True)
        stale.write_bytes(b"of another analysis")
        monkeypatch.setattr(analysis, "save_scores", refuse)
        assert analyse(pipeline)
        assert pipeline.row(made).state == SeriesState.ANALYSED
        (entry,) = pipeline.audit("series-analysed")
        assert (entry.detail["scores"], entry.detail["scores_error"]) == (None, "OSError")
        assert entry.detail["risk_grid"] == "1-risk.npz"
        assert not stale.exists()
