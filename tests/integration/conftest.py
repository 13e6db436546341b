"""What the tests of the whole node share: weights by formula, and the findings that they lead to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from glianet.checkpoint import save_network
from glianet.engine import EngineSettings, score_volume
from glianet.findings import Findings
from glianet.lesions import LesionSettings, find_lesions
from glianet.load_model import LoadedModel, load_model
from glianet.model import ComputeSettings
from glianet.volume import Volume
from storage.states import SeriesState
from tests.glianet.formulas import formula_network
from tests.support.archive import TestArchive, running_archive
from tests.support.head_series import TWO_PATCHES, HeadSeries, make_head_series, send
from tests.support.node import NodeUnderTest
from tests.support.results import one_of_each

STEP = 96
THRESHOLD = 0.8  # a few lesions in every volume by formula
DETECTION_THRESHOLD = 0.82  # and not too few of them are that certain
NO_LESION_THRESHOLD = 0.98
THREADS = 1  # here and in the node, so that sums are formed in the same order
MINIMUM_LESION_MM3 = 5.0

Model = dict[str, dict[str, Any]]
Find = Callable[[HeadSeries], Findings]


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights by formula as the file that the node reads."""
    path = tmp_path_factory.mktemp("weights") / "formula.safetensors"
    save_network(formula_network(), path, {"made": "by formula, for tests"})
    return path


@pytest.fixture(scope="session")
def loaded(weights: Path) -> LoadedModel:
    """The same network in this process."""
    torch.set_num_threads(THREADS)
    return load_model([weights], ComputeSettings("cpu", "torch", threads=THREADS))


@pytest.fixture(scope="session")
def model(weights: Path) -> Model:
    """The [model] table of every node here."""
    table = {
        "weights": str(weights),
        "device": "cpu",
        "backend": "torch",  # ready sooner than OpenVINO, and most tests start a node
        "threads": THREADS,
        "step": STEP,
        "threshold": THRESHOLD,
        "detection_threshold": DETECTION_THRESHOLD,
        "minimum_lesion_mm3": MINIMUM_LESION_MM3,
        "retry_delay_s": 0.5,
    }
    return {"model": table}


@pytest.fixture(scope="session")
def find(loaded: LoadedModel) -> Find:
    """What GLIA-Net finds in a series, computed here from its voxels without any DICOM; computed once for each."""
    known: dict[tuple[bytes, bytes], Findings] = {}

    def compute(series: HeadSeries) -> Findings:
        key = (series.hu.tobytes(), series.affine.tobytes())
        if key not in known:
            volume = Volume(series.hu, series.affine)
            scores = score_volume(volume, loaded.model, EngineSettings(STEP, THRESHOLD))
            rules = LesionSettings(THRESHOLD, DETECTION_THRESHOLD, MINIMUM_LESION_MM3)
            known[key] = find_lesions(scores, volume, rules, weights_sha256=loaded.sha256)
        return known[key]

    return compute


@dataclass(frozen=True)
class Undisturbed:
    """A series and the results of a run in which nothing went wrong: SOP Instance UID by modality."""

    series: HeadSeries
    result_uids: dict[str, str]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Undisturbed:
    """The yardstick of the tests that disturb the node: whatever happens, these results come out."""
    folder = tmp_path_factory.mktemp("undisturbed")
    series = make_head_series(folder, "disturbed", shape=TWO_PATCHES)
    with running_archive() as archive, NodeUnderTest(folder / "node", [archive.destination], model) as node:
        send(node.peer, series.files)
        row = node.wait_until_ended(series.uid)
        assert row.state == SeriesState.DONE, node.log_tail()
        results = one_of_each(archive.objects(series.uid))
    return Undisturbed(series, {str(one.Modality): str(one.SOPInstanceUID) for one in results})


@pytest.fixture
def archive() -> Iterator[TestArchive]:
    """A PACS of this test's own."""
    with running_archive() as running:
        yield running


@pytest.fixture
def node(tmp_path: Path, archive: TestArchive, model: Model) -> Iterator[NodeUnderTest]:
    """A running node of this test's own that sends to `archive`."""
    with NodeUnderTest(tmp_path / "node", [archive.destination], model) as running:
        yield running
