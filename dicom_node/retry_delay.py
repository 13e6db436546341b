"""How long to wait before something is tried again."""

import random
from datetime import timedelta

_LARGEST_DOUBLING = 32  # beyond it every delay is the longest one


def retry_delay(
    attempts: int, first_s: float, maximum_s: float, generator: random.Random | None = None
) -> timedelta:
    """How long to wait after the `attempts`-th failure: doubles each time, up to `maximum_s` seconds.

    With a generator the delay lies at random between half of that and all of it.
    """
    seconds = min(first_s * 2.0 ** min(max(attempts - 1, 0), _LARGEST_DOUBLING), maximum_s)
    return timedelta(seconds=seconds if generator is None else seconds * generator.uniform(0.5, 1.0))
