import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from glianet.allocator import give_back_freed_memory, keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(16_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_kib():
    return int(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])

torch.set_num_threads(1)
fresh, could = faults(), keep_freed_memory()
for _ in range(4):
    faults()
kept, full = faults(), resident_kib()
give_back_freed_memory()
print(int(could), fresh, kept, full - resident_kib())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is on Linux only")
def test_freed_memory_is_reused_until_it_is_given_back() -> None:
    """64 MB are 15,625 pages of 4 kB, or 31 of 2 MB; kept memory is faulted in first, then no more."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    could, fresh, kept, given_back_kib = map(int, done.stdout.split())
    if not could:
        pytest.skip("this C library has no mallopt")
    assert fresh >= 4 * 31
    assert kept < fresh / 10
    assert given_back_kib > 50_000
