"""The analysis of small series, one after another, with a stand-in for the network."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from dicom_node import analysis
from dicom_node.analysis import analyse_next
from glianet.engine import EngineSettings, Progress
from glianet.load_model import LoadedModel
from glianet.model import Model
from glianet.scores import RiskGrid, Scores
from glianet.volume import Volume
from storage.states import SeriesState
from tests.support.head_series import HeadSeries
from tests.support.pipeline import WEIGHTS, Pipeline

PATCHES = 5
LESION = (slice(2, 5), slice(6, 9), slice(4, 7))


def accept(pipeline: Pipeline, series: HeadSeries) -> None:
    pipeline.receive(series.files)
    pipeline.quiet()
    pipeline.assemble()
    assert pipeline.row(series).state == SeriesState.QUEUED


def stand_in_for_the_network(monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[[], object]]:
    """What shall happen after which patch. In place of the network, whose own tests run it, a block scores high."""
    happenings: dict[int, Callable[[], object]] = {}

    def score(volume: Volume, model: Model, settings: EngineSettings, progress: Progress) -> Scores:
        for done in range(PATCHES + 1):
            happenings.get(done, lambda: None)()
            progress(done, PATCHES)
        probability = np.zeros(volume.shape, np.float32)
        probability[LESION] = 0.875
        risk = RiskGrid(np.full((1, 1, 1), 0.5, np.float32), ((0,), (0,), (0,)))
        fine = risk if settings.risk_overlap else None
        assert settings.threshold == 0.5  # of the outline: scores down to it are wanted
        how = "torch float32 on cpu"
        return Scores(probability, risk, fine, settings.step, settings.exact, 0.5, PATCHES, 0, how)

    monkeypatch.setattr(analysis, "score_volume", score)
    return happenings


def load() -> LoadedModel:
    return LoadedModel(Model((), torch.device("cpu")), WEIGHTS)


def analyse(
    pipeline: Pipeline,
    stopping: Callable[[], bool] = lambda: False,
    load: Callable[[], LoadedModel] = load,
) -> bool:
    owner = "worker:1:analysis"
    return analyse_next(
        pipeline.db, pipeline.folders, pipeline.settings, load, owner, pipeline.clock, stopping
    )
