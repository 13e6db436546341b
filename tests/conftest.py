"""Where several processes run the tests, each has one core: threads that wait for each other would fight for them."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, here and in every child
