"""Which candidate counts as which planted aneurysm, by hand-worked distances."""

import io

import numpy as np
from rich.console import Console

from dicom_node.demo.archive_client import Candidate, ReceivedResults
from dicom_node.demo.planted import PlantedAneurysm
from dicom_node.demo.report_results import print_comparison

PLANTED = PlantedAneurysm(1, (10.0, 20.0, 30.0), 5.0, 64.0)  # equivalent radius 0.62 * 4 = 2.48 mm


def candidate(number: int, x: float, volume_mm3: float = 64.0) -> Candidate:
    points = np.array([[x - 0.5, 20.0, 30.0], [x + 0.5, 20.0, 30.0]])
    return Candidate(number, f"Aneurysm candidate {number}", points, volume_mm3, 5.0, 80.0)


def compare(*candidates: Candidate) -> tuple[bool, str]:
    text = io.StringIO()
    results = ReceivedResults((), (), candidates)
    found = print_comparison(Console(file=text, width=120), (PLANTED,), results)
    return found, text.getvalue()


def test_within_the_sum_of_radii_is_found() -> None:
    found, text = compare(candidate(1, 14.9))  # 4.9 mm away, radii sum to 4.96 mm
    assert found
    assert "4.9" in text and "missed" not in text


def test_beyond_the_sum_of_radii_is_missed_and_a_false_positive() -> None:
    found, text = compare(candidate(1, 15.0))
    assert not found
    assert "missed" in text and "false" in text


def test_the_nearest_candidate_counts_and_only_once() -> None:
    found, text = compare(candidate(1, 13.0), candidate(2, 11.0))
    assert found
    assert text.count("false") == 1
    assert "1.0" in text
