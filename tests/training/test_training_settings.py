"""Learning rate and patch size over the steps, and what is refused."""

from typing import Any

import pytest

from training.settings import TrainingSettings


def test_rate_rises_and_falls_to_zero() -> None:
    settings = TrainingSettings(steps=1000, learning_rate=1e-3, warmup_steps=10)
    assert settings.rate_at(0) == pytest.approx(1e-4)
    assert settings.rate_at(9) == pytest.approx(1e-3 * 0.991)
    assert settings.rate_at(500) == pytest.approx(5e-4)
    assert settings.rate_at(1000) == 0


def test_the_last_steps_see_large_patches() -> None:
    settings = TrainingSettings(steps=100, patch_size=48, large_patch_size=96, large_from=0.9)
    assert [settings.patch_size_at(step) for step in (0, 89, 90, 99)] == [48, 48, 96, 96]


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"patch_size": 50}, {"pool_size": 1, "pool_start": 2}])
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        TrainingSettings(**wrong)
