"""Training in several processes: gradients are averaged, and one alone writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ports import free_port
from training.processes import join_processes

PROGRAM = """
import json, sys
from pathlib import Path
import torch
from training.processes import average_gradients, join_processes
with join_processes("cpu") as processes:
    one, other = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    (one.sum() * (processes.rank + 1)).backward()
    if processes.rank == 1:
        (other.sum() * 8).backward()
    average_gradients([one, other], processes)
    answer = [processes.rank, processes.count, processes.first, one.grad.tolist(), other.grad.tolist()]
    Path(sys.argv[1], f"{processes.rank}.json").write_text(json.dumps(answer))
"""


def test_gradients_are_the_mean_over_the_processes(tmp_path: Path) -> None:
    """1 and 2 of the first parameter; the second has none in the first process and 8 in the other."""
    port = str(free_port())
    children = []
    for rank in range(2):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
        children.append(subprocess.Popen(command, env=os.environ | place | address))
    assert [child.wait(timeout=120) for child in children] == [0, 0]
    answers = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert answers[0] == [0, 2, True, [1.5, 1.5], [4.0, 4.0]]
    assert answers[1] == [1, 2, False, [1.5, 1.5], [4.0, 4.0]]


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_processes("cpu") as processes:
        assert (processes.rank, processes.count, processes.first) == (0, 1, True)
