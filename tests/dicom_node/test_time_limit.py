import signal
import subprocess
import sys

import pytest

from dicom_node.time_limit import OVERTIME_EXIT_CODE, StepTimes

PREPARE = (
    "import ctypes, signal, threading, time\nfrom dicom_node import time_limit\n"
    "time_limit.TRACE_WITHIN_S, time_limit.LOOK_S = 0.1, 0.02\n"
)
WATCH = "time_limit.watch_steps(times, 0.3, stop)\n"
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


@pytest.mark.parametrize("hang", [HANG_WITH_THE_LOCK, HANG_IN_PYTHON])
def test_a_step_of_another_thread_that_hangs_ends_the_process(hang: str) -> None:
    code = (
        f"times, stop = time_limit.StepTimes(), threading.Event()\n{hang}"
        "def stage():\n    time.sleep(0.1)\n    with times.step('publishing'):\n        hang()\n"
        f"threading.Thread(target=stage, daemon=True).start()\n{WATCH}"
    )
    ended = run(code)
    assert ended.returncode == OVERTIME_EXIT_CODE
    assert "in hang" in ended.stderr


def test_steps_that_end_in_time_may_go_on_for_ever_and_so_may_none() -> None:
    """Twenty steps of 0.05 s, three times the limit in all; then longer than the limit without one."""
    code = (
        "times, stop = time_limit.StepTimes(), threading.Event()\n"
        "def stage():\n"
        "    for _ in range(20):\n        with times.step('publishing'):\n            time.sleep(0.05)\n"
        "    time.sleep(1.0)\n    stop.set()\n"
        f"threading.Thread(target=stage, daemon=True).start()\n{WATCH}print('alive')\ntime.sleep(0.6)\n"
    )
    ended = run(code)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "alive\n", "")


def test_the_oldest_step_counts() -> None:
    now = [100.0]
    times = StepTimes(lambda: now[0])
    assert times.longest_s() == 0
    with times.step("assembly"):
        now[0] = 107.0
        with times.step("publishing"):
            now[0] = 109.0
            assert times.longest_s() == 9
    assert times.longest_s() == 0
