"""What a training tells while it runs: JSON lines, TensorBoard where it is installed, a bar where someone watches."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

LOG = "log.jsonl"
DIGITS = 5


class RunLog(Protocol):
    """Where a training reports to."""

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Scalars of one step."""

    def image(self, name: str, step: int, picture: NDArray[np.uint8]) -> None:
        """A picture (H, W, 3)."""


class Silent:
    """Of processes that do not keep the log."""

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def image(self, name: str, step: int, picture: NDArray[np.uint8]) -> None:
        """Nothing."""


class _Files:
    def __init__(self, lines: Any, board: Any, bar: Any) -> None:
        self._lines, self._board, self._bar = lines, board, bar

    def step(self, step: int, values: Mapping[str, float]) -> None:
        rounded = {name: _rounded(value) for name, value in values.items()}
        self._lines.write(json.dumps({"step": step, **rounded}) + "\n")
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        if self._bar:
            self._bar(step, values)

    def image(self, name: str, step: int, picture: NDArray[np.uint8]) -> None:
        if self._board:
            self._board.add_image(name, picture, step, dataformats="HWC")


@contextmanager
def open_log(folder: Path, total: int) -> Iterator[RunLog]:
    """log.jsonl and events of TensorBoard in the folder; what is there is added to."""
    board = _tensorboard(folder)
    with (folder / LOG).open("a", buffering=1) as lines, _bar(total) as bar:
        try:
            yield _Files(lines, board, bar)
        finally:
            if board:
                board.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The entries of log.jsonl, oldest first."""
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def _rounded(value: float) -> float | None:
    return round(float(value), DIGITS) if math.isfinite(value) else None


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))


@contextmanager
def _bar(total: int) -> Iterator[Any]:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("training", total=total)

        def advance(step: int, values: Mapping[str, float]) -> None:
            shown = f"loss {values['loss']:.3f}" if "loss" in values else "validated"
            progress.update(task, completed=step, description=shown)

        yield advance
