"""The study of `make demo`: the series that its scanner sends, and what the node makes of it with its own settings."""

import fcntl
import tempfile
from pathlib import Path

from rich.console import Console

from dicom_node.demo.__main__ import DEMO_SEED
from dicom_node.demo.make_series import make_phantom_series
from dicom_node.destination_settings import DestinationSettings
from dicom_node.dicom_file import read_headers
from dicom_node.encoding.encode_results import EncodedObject, Maps, encode_results
from dicom_node.read_series import SourceSeries, inspect_series, read_volume
from dicom_node.settings import Settings
from glianet.engine import EngineSettings, score_volume
from glianet.findings import Findings, load_findings, save_findings
from glianet.lesions import LesionSettings, find_lesions
from glianet.load_model import load_model
from glianet.risk import RISK_MAP_OVERLAP
from glianet.score_files import load_risk, load_scores, risk_path, save_risk, save_scores, scores_path
from glianet.weights_file import DEFAULT_WEIGHTS, weights_sha256
from tests.support.made_findings import make_context
from tests.support.ohif_study import ViewerStudy

ARCHIVE = DestinationSettings(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=104, profile="archive")


KEPT = Path(__file__).parents[1] / "data" / "demo" / "found.npz"
"""What the shipped weights find in the demo's series, by `python -m tests.support.ohif_demo`: a minute of two cores."""


def make_demo_study(folder: Path) -> ViewerStudy:
    """The demo's phantom as DICOM, what the shipped weights find in it, and all kinds of results.

    What is in `folder` already is not made again: processes of one test run may share it.
    """
    files, source = _make_source(folder)
    findings = load_findings(KEPT)
    shipped = Settings().model
    found_with = (findings.weights_sha256, findings.threshold, findings.detection_threshold)
    wanted = (weights_sha256(DEFAULT_WEIGHTS), shipped.threshold, shipped.detection_threshold)
    assert found_with == wanted, "found by other weights, or above other thresholds: python -m tests.support.ohif_demo"
    maps = Maps(load_scores(scores_path(KEPT), findings), load_risk(risk_path(KEPT), findings))
    results = _encode(source, findings, maps)
    return ViewerStudy(files, findings, results, str(source.datasets[0].StudyInstanceUID))


def _make_source(folder: Path) -> tuple[tuple[Path, ...], SourceSeries]:
    settings = Settings()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        series, _ = make_phantom_series(folder / "phantom", DEMO_SEED, Console(quiet=True))
    files = tuple(sorted(series.glob("*.dcm")))
    return files, inspect_series(read_headers(files), settings.selection, settings.assembly, conflicting=False)


def _analyse(source: SourceSeries, settings: Settings, path: Path) -> None:
    """As the node's worker does; the findings are written last."""
    model, volume, loaded = settings.model, read_volume(source), load_model()
    engine = EngineSettings(model.step, model.threshold, exact=model.exact, risk_overlap=RISK_MAP_OVERLAP)
    scores = score_volume(volume, loaded.model, engine)
    sizes = LesionSettings(model.threshold, model.detection_threshold, model.minimum_lesion_mm3)
    findings = find_lesions(scores, volume, sizes, weights_sha256=loaded.sha256)
    assert scores.fine_risk is not None
    save_scores(scores.probability, findings, scores_path(path))
    save_risk(scores.fine_risk, findings, risk_path(path))
    save_findings(findings, path)


def _encode(source: SourceSeries, findings: Findings, maps: Maps) -> tuple[EncodedObject, ...]:
    context = make_context(weights_sha256=findings.weights_sha256, algorithm_version=findings.algorithm_version)
    return encode_results(source, findings, context, ARCHIVE.wanted, maps).objects


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        _analyse(_make_source(Path(name))[1], Settings(), KEPT)
