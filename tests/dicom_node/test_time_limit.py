import signal
import subprocess
import sys

import pytest

from dicom_node.time_limit import OVERTIME_EXIT_CODE

PREPARE = "import ctypes, signal, threading, time\nfrom dicom_node import time_limit\ntime_limit.TRACE_WITHIN_S = 0.1\n"
HANG_WITH_THE_LOCK = "def hang():\n    ctypes.PyDLL(None).pause()\n"
HANG_IN_PYTHON = "def hang():\n    threading.Event().wait()\n"


def run(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", PREPARE + code], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("hang", [HANG_WITH_THE_LOCK, HANG_IN_PYTHON])
def test_what_hangs_is_ended_and_the_log_says_where(hang: str) -> None:
    ended = run(f"{hang}with time_limit.time_limit(0.1):\n    hang()\n")
    assert ended.returncode == OVERTIME_EXIT_CODE == -signal.SIGALRM
    assert "in hang" in ended.stderr


def test_the_limit_ends_with_the_work_and_also_where_that_fails() -> None:
    code = (
        "try:\n    with time_limit.time_limit(0.1):\n        raise KeyError\nexcept KeyError:\n    pass\n"
        "with time_limit.time_limit(0.1):\n    pass\ntime.sleep(0.5)\nprint('alive')\n"
    )
    ended = run(code)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "alive\n", "")


def test_a_long_limit_is_accepted() -> None:
    """Seven days are the longest that a setting may be."""
    assert run("with time_limit.time_limit(7 * 86400.0):\n    pass\n").returncode == 0
