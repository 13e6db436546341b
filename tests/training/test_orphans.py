"""A pool's worker ends with the process that it works for."""

import subprocess
import sys

POOL = """
import os, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from training.orphans import end_with_parent

if __name__ == "__main__":
    executor = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent)
    print(executor.submit(os.getpid).result(), flush=True)
    sys.stdin.read()
"""


def test_a_worker_ends_when_its_parent_is_killed(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The worker holds a copy of the parent's standard output: it ends when both are gone, and hangs otherwise."""
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    parent = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert worker != parent.pid
    parent.kill()
    rest, _ = parent.communicate(timeout=30)
    assert rest == b""
