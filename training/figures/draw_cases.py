"""Runs a model over cases and draws what it found."""

from collections.abc import Callable, Iterable
from pathlib import Path

from glianet.engine import EngineSettings, score_volume
from glianet.model import Model
from glianet.risk import RISK_MAP_OVERLAP
from glianet.volume import Volume
from training.evaluate_cases import EvaluationCase
from training.figures.failure_panels import Failure, draw_failures, find_failures
from training.figures.risk_panels import RiskCase, draw_risk_panels
from training.figures.segmentation_panels import PanelCase, draw_segmentation_panels
from training.metrics.targets import Detection, predicted_mask
from training.metrics.voxels import THRESHOLD


def draw_cases(
    cases: Iterable[EvaluationCase],
    model: Model,
    folder: Path,
    advance: Callable[[str, int], None],
    detection_threshold: float | None = None,
) -> list[Path]:
    """Writes segmentation.png, risk.png and, where something was missed or false, failures.png; the files written.

    detection_threshold: where given, what is drawn is what the node shows (`training.metrics.targets.predicted_mask`).
    All cases are in memory until they are drawn. Raises GliaNetError, CasesError, OSError.
    """
    panels, risks, failures = [], [], list[Failure]()
    for number, case in enumerate(cases, start=1):
        scores = score_volume(
            Volume(case.hu, case.affine), model, EngineSettings(threshold=THRESHOLD, risk_overlap=RISK_MAP_OVERLAP)
        )
        detection = Detection.of_node(detection_threshold, case.spacing_mm)
        found = predicted_mask(scores.probability, THRESHOLD, detection)
        assert scores.fine_risk is not None
        risk = scores.fine_risk.to_map(case.hu.shape)
        panels.append(PanelCase(case.name, case.hu, case.spacing_mm, case.truth, {"GLIA-Net": found}))
        risks.append(RiskCase(case.name, case.hu, case.spacing_mm, risk, case.truth, found))
        failures.extend(
            find_failures(case.name, case.hu, case.spacing_mm, case.truth, scores.probability, detection)
        )
        advance(case.name, number)
    folder.mkdir(parents=True, exist_ok=True)
    draw_segmentation_panels(folder / "segmentation.png", panels)
    draw_risk_panels(folder / "risk.png", risks)
    wrong = draw_failures(folder / "failures.png", failures)
    return [folder / name for name in ("segmentation.png", "risk.png", *(["failures.png"] if wrong else []))]
