"""Delays between tries."""

import random
from datetime import timedelta

import pytest

from dicom_node.retry_delay import retry_delay
from dicom_node.settings import DeliverySettings


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 30), (2, 60), (3, 120), (7, 1920), (8, 3600), (10_000, 3600)]
)
def test_delay_doubles_up_to_the_longest(attempts: int, seconds: float) -> None:
    assert retry_delay(attempts, 30.0, 3600.0) == timedelta(seconds=seconds)


def test_the_tries_of_the_default_settings_last_as_long_as_the_guide_says() -> None:
    """30 s to 1,920 s, 3,810 s in all, then 40 times an hour: 41 hours from the first try to the 48th."""
    rules = DeliverySettings()
    waits = [
        retry_delay(number, rules.first_delay_s, rules.maximum_delay_s) for number in range(1, rules.maximum_attempts)
    ]
    assert sum(waits, timedelta()) == timedelta(seconds=3_810 + 40 * 3_600)


def test_delay_with_a_generator_lies_between_half_and_all() -> None:
    drawn = {retry_delay(2, 30.0, 3600.0, random.Random(seed)) for seed in range(50)}
    assert len(drawn) == 50
    assert all(timedelta(seconds=30) <= delay <= timedelta(seconds=60) for delay in drawn)
