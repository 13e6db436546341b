"""What a training tells: lines of JSON and events for TensorBoard."""

import json
from pathlib import Path

import numpy as np
import pytest

from training.run_log import open_log, read_log


def test_lines_are_added_to_those_of_the_run_before(tmp_path: Path) -> None:
    for step in (1, 2):
        with open_log(tmp_path, total=2) as log:
            log.step(step, {"loss": 0.123456789, "overlap": float("nan")})
    assert read_log(tmp_path) == [{"step": n, "loss": 0.12346, "overlap": None} for n in (1, 2)]
    assert all(json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())


def test_tensorboard_reads_scalars_and_images(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with open_log(tmp_path, total=1) as log:
        log.step(1, {"loss": 0.5})
        log.image("validation", 1, np.zeros((4, 6, 3), np.uint8))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("loss")] == [(1, 0.5)]
    (image,) = events.Images("validation")
    assert (image.step, image.width, image.height) == (1, 6, 4)
