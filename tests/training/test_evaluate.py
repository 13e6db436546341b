"""Lesions against planted aneurysms, by hand."""

import numpy as np
import pytest

from glianet.findings import Findings, Lesion
from tests.training.made_cases import CENTRE, cube_phantom
from training.evaluate import compare


def _findings(labels: np.ndarray) -> Findings:
    lesions = tuple(
        Lesion(n, 1, 1.0, 1.0, (0, 0, 0), (0.0, 0.0, 0.0), ((0, 1), (0, 1), (0, 1)), 0.9, 0.9, 0.9)
        for n in range(1, int(labels.max()) + 1)
    )
    return Findings(labels, np.eye(4), lesions, 0.5, 5.0, 11, 48, False, "", "", "", 0, 0)


def test_shifted_lesion_counts_as_found_with_its_dice() -> None:
    phantom = cube_phantom()
    labels = np.zeros(phantom.labels.shape, np.uint16)
    k, j, i = CENTRE
    labels[k - 1 : k + 4, j - 2 : j + 3, i - 2 : i + 3] = (
        1  # the 5^3 cube, one slice higher: 100 of 125 shared
    )
    labels[50:53, 50:53, 50:53] = 2
    evaluation = compare(phantom, _findings(labels))
    (detection,) = evaluation.detections
    assert detection.found and detection.lesions == (1,)
    assert detection.dice == pytest.approx(2 * 100 / 250)
    assert evaluation.false_positives == (2,)


def test_a_missed_aneurysm() -> None:
    evaluation = compare(cube_phantom(), _findings(np.zeros((64, 64, 64), np.uint16)))
    assert not evaluation.detections[0].found
    assert evaluation.detections[0].dice == 0
    assert evaluation.false_positives == ()


def test_two_lesions_in_one_aneurysm_are_no_false_positives() -> None:
    phantom = cube_phantom()
    labels = np.zeros(phantom.labels.shape, np.uint16)
    k, j, i = CENTRE
    labels[k, j, i - 2], labels[k, j, i + 2] = 1, 2
    evaluation = compare(phantom, _findings(labels))
    assert evaluation.detections[0].lesions == (1, 2)
    assert evaluation.detections[0].dice == pytest.approx(2 * 2 / 127)
    assert evaluation.false_positives == ()
