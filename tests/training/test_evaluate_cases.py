"""Phantoms made ahead by another process are those that are made here."""

from pathlib import Path

import numpy as np
import pytest

from training.evaluate_cases import PhantomChoice, make_phantoms
from training.phantom import PhantomSettings, make_phantom

SETTINGS = PhantomSettings((24, 64, 64), (2.0, 3.0, 3.0), (1, 1))


@pytest.fixture(autouse=True)
def _ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """By another process, though they are small."""
    monkeypatch.setattr("training.evaluate_cases.LARGE_VOXELS", 0)


def test_several_phantoms_come_in_order_and_are_the_same_as_one_by_one() -> None:
    several = list(make_phantoms(PhantomChoice(range(900100, 900102), SETTINGS)))
    assert [phantom.seed for phantom in several] == [900100, 900101]
    for phantom in several:
        alone = next(make_phantoms(PhantomChoice(range(phantom.seed, phantom.seed + 1), SETTINGS)))
        assert np.array_equal(phantom.hu, alone.hu) and np.array_equal(phantom.labels, alone.labels)
        assert np.array_equal(alone.hu, make_phantom(phantom.seed, SETTINGS).hu)


def test_a_folder_without_trees_is_told_of_by_the_other_process_too(tmp_path: Path) -> None:
    choice = PhantomChoice(range(900100, 900102), SETTINGS, "varied", trees=tmp_path)
    with pytest.raises(ValueError, match="there is no tree"):
        next(make_phantoms(choice))
