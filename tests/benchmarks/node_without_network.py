"""The node as `dicom-node serve` runs it, but for the network: scores are 1 where the volume has a given value.

    python -m tests.benchmarks.node_without_network --config config.toml

Everything else is the node's own: processes, sockets, spool, database, reading, lesions, encoding, delivery. How long
the stand-in took is logged, so that it can be left out of a measurement.
"""

import argparse
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import structlog

from dicom_node.daemon import PROCESSES, serve
from dicom_node.settings import Settings, load_settings
from glianet.scores import RiskGrid, Scores
from glianet.tiling import PATCH_SIZE, patch_starts
from glianet.volume import Volume

PLANTED_HU = 300
SCORE = 0.9
STOOD_IN = "the network was stood in for"
NO_MODEL = SimpleNamespace(model=SimpleNamespace(description="none: planted"), sha256="0" * 64)


def score_planted(volume: Volume, _model: object, settings: object, progress: Callable[[int, int], None]) -> Scores:
    """In place of `score_volume`: 0.9 where a voxel has PLANTED_HU, and 0 elsewhere."""
    started = time.perf_counter()
    probability = np.zeros(volume.shape, np.float32)
    for plane, hu in zip(probability, volume.hu, strict=True):
        plane[hu == PLANTED_HU] = SCORE
    starts = tuple(patch_starts(max(length, PATCH_SIZE)) for length in volume.shape)
    risks = np.full([len(one) for one in starts], 0.5, np.float32)
    progress(1, 1)
    scores = Scores(
        probability=probability,
        risk=RiskGrid(risks, starts),  # type: ignore[arg-type]
        fine_risk=None,
        step=48,
        exact=False,
        threshold=None,
        patches_computed=0,
        patches_skipped=risks.size,
        computation="none: planted",
    )
    structlog.get_logger().info(STOOD_IN, seconds=round(time.perf_counter() - started, 3))
    return scores


def run_worker_without_network(settings: Settings, commands: Connection) -> None:
    """The worker's process, in which the network is never asked."""
    from dicom_node import analysis, worker

    analysis.score_volume = score_planted  # type: ignore[assignment]
    worker.load_model = lambda _weights, _compute: NO_MODEL  # type: ignore[misc]
    worker.run_worker(settings, commands)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="The node with a stand-in for the network.")
    parser.add_argument("--config", type=Path, required=True)
    PROCESSES["worker"] = run_worker_without_network
    serve(load_settings(parser.parse_args().config))


if __name__ == "__main__":
    main()
