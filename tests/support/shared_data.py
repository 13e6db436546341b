"""Data of other people, which lies beside the checkout where it was handed out, and is no part of the project."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared"


def shared(folder: str) -> Path:
    """A folder below ../shared; where it is absent the test skips and says so."""
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(f"third-party data is not here: ../shared/{folder}")
    return path
