"""Pages: text within their margins, marks and numbers that hide no lesion, and nothing of the patient's name."""

from dataclasses import replace

import numpy as np
import pytest

from dicom_node.encoding.pages.lesion_page import draw_lesion_page, measurements
from dicom_node.encoding.pages.overview_page import _frame, _label, draw_overview_page
from dicom_node.encoding.pages.sheet import AMBER, MARGIN, PAGE, new_sheet, statement_page
from glianet.findings import Findings, Lesion
from glianet.volume import Volume

AFFINE = np.diag([1.0, 1, 1, 1])[[2, 1, 0, 3]]
SHAPE = (100, 180, 160)
FOOTER = ["GLIA-Net 0.1.0, weights 0f1e2d3c4b5a6978, concluded 2026-01-15 10:20 +0000 by node GLIANET"]


def _findings(*centres: tuple[int, int, int], radius: int = 4) -> tuple[Volume, Findings]:
    """Bright balls in a volume of 100 HU, in that order."""
    hu, labels = np.full(SHAPE, 100, np.int16), np.zeros(SHAPE, np.uint16)
    grid = np.indices(SHAPE)
    lesions = []
    for number, centre in enumerate(centres, start=1):
        ball = sum((axis - middle) ** 2 for axis, middle in zip(grid, centre, strict=True)) <= radius**2
        hu[ball], labels[ball] = 400, number
        box = tuple((middle - radius, middle + radius + 1) for middle in centre)
        size = int(ball.sum()), float(ball.sum()), 2.0 * radius
        lesions.append(Lesion(number, *size, centre, (1, 2, 3), box, 0.71, 0.93, 0.8))  # type: ignore[arg-type]
    made = Findings(labels, AFFINE, tuple(lesions), 0.5, 0.5, 5, 10, 48, False, "a" * 64, "GLIA-Net", "0.1.0", 1, 1)
    return Volume(hu, AFFINE), made


def _amber(page: np.ndarray) -> np.ndarray:
    return np.all(page == AMBER, axis=2)


@pytest.mark.parametrize("count", [1, 3, 40])
def test_the_overview_marks_every_lesion_and_leaves_it_visible(count: int) -> None:
    """Each ball is 400 HU: 212 of 255 in the window; no mark, number or letter lies on the middle of one."""
    places = [(40 + 3 * (n % 8), 40 + 13 * (n // 5), 30 + 20 * (n % 5)) for n in range(count)]
    volume, findings = _findings(*places, radius=2)
    page = draw_overview_page(volume, findings, [str(n) for n in range(count)], "series 2", FOOTER, pages=60)
    assert page.shape == (PAGE, PAGE, 3) and page.dtype == np.uint8
    panel = page[64 : 64 + 408, 100 : 100 + 408]
    scale = 408 / 180
    for _, j, i in places:
        x, y = (407 / 2 + (at - (length - 1) / 2) * scale for at, length in ((i, 160), (j, 180)))
        middle = panel[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2]
        assert np.all(middle == 212), (j, i)
    assert _amber(panel).sum() > 20 * count


@pytest.mark.parametrize("apart", [2, 5, 8, 20])
def test_the_marks_of_neighbours_cover_no_pixel_of_a_lesion(apart: int) -> None:
    """Two balls of 9 voxels across, 400 HU on 0, one above the other: in the axial view their rings cross them."""
    radius = 4
    first, second = (40, 90, 80), (40 + 2 * radius + 2, 90, 80 + apart)
    volume, findings = _findings(first, second, radius=radius)
    page = draw_overview_page(volume, findings, ["1", "2"], "series 2", FOOTER, pages=60)
    panel = page[64 : 64 + 408, 100 : 100 + 408]
    scale = 408 / 180
    rows, columns = np.indices(panel.shape[:2])
    for _, j, i in (first, second):
        x, y = (407 / 2 + (at - (length - 1) / 2) * scale for at, length in ((i, 160), (j, 180)))
        inside = panel[(rows - y) ** 2 + (columns - x) ** 2 <= ((radius - 0.5) * scale) ** 2].astype(int)
        assert inside.min() > 140, "no black rim: 212 of 255 within, less where it is interpolated at the edge"
        assert np.ptp(inside, axis=1).max() == 0, "no amber"


@pytest.mark.parametrize(("slices", "expected"), [((40, 50), ["1", "2"]), ((10, 90), ["1", "(2)"])])
def test_a_lesion_outside_the_slab_is_marked_in_brackets(slices: tuple[int, int], expected: list[str]) -> None:
    """Lesions 10 mm apart fit into a slab; of two that are 80 mm apart it shows the more certain."""
    volume, findings = _findings(*((k, 90, 60 + 20 * n) for n, k in enumerate(slices)))
    frame = _frame(volume, findings, 0)
    assert [_label(volume, lesion, frame) for lesion in findings.lesions] == expected


def test_a_lesions_page_shows_it_in_the_middle_of_four_panels() -> None:
    volume, findings = _findings((50, 90, 80))
    page = draw_lesion_page(volume, findings, findings.lesions[0], "It lies in image 51.", "image 51", FOOTER)
    for top in (64, 480):
        for left in (100, 516):
            panel = page[top : top + 408, left : left + 408]
            assert np.all(panel[196:212, 196:212] == 212)
            assert _amber(panel).sum() > 100


def test_measurements_are_those_of_the_report() -> None:
    _, findings = _findings((50, 90, 80))
    lesion = replace(findings.lesions[0], maximum_diameter_mm=5.26, volume_mm3=61.04)
    assert measurements(lesion) == (
        "Diameter 5.3 mm, volume 61.0 mm3, mean score 71 %, greatest 93 %, regional risk 80 %"
    )


@pytest.mark.parametrize("words", ["The candidate lies in images 52 to 58 of a series, ", "1.2.840.113619."])
def test_text_stays_within_the_margins_and_above_the_footer(words: str) -> None:
    """Many words, and one long one; more of them than the page holds."""
    page = statement_page("Not analysed", [words * 40, words * 60], [])
    inked = page.any(axis=2)
    assert inked.any() and not inked[:, : MARGIN - 4].any() and not inked[:, PAGE - MARGIN + 4 :].any()
    assert not inked[1005:].any()


def test_a_mark_does_not_leave_its_panel() -> None:
    """A lesion in the uppermost slices of a volume that is longest from foot to head: its ring is cut off."""
    volume, findings = _findings((95, 90, 80))
    tall = Volume(volume.hu[:, :90, :80], AFFINE)
    labels = findings.labels[:, :90, :80]
    lesion = replace(findings.lesions[0], bounding_box=((91, 100), (40, 49), (36, 45)), centre_index=(95, 44, 40))
    found = replace(findings, labels=labels, lesions=(lesion,))
    page = draw_overview_page(tall, found, ["95"], "series 2", FOOTER, pages=60)
    gaps = np.concatenate([page[472:480, 100:924].ravel(), page[64:888, 508:516].ravel()])
    assert not gaps.any()


def test_a_slab_holds_most_lesions() -> None:
    """Two on the right and one far on the left: the sagittal slab shows the two."""
    volume, findings = _findings((50, 90, 20), (50, 60, 30), (50, 90, 140))
    frame = _frame(volume, findings, 2)
    assert [_label(volume, lesion, frame) for lesion in findings.lesions] == ["1", "2", "(3)"]


def test_a_paragraph_says_where_it_ends() -> None:
    sheet = new_sheet("Title")
    once, twice = sheet.paragraph(100, "one line"), sheet.paragraph(100, "word " * 60)
    assert twice - 100 >= 2 * (once - 100)


def test_every_page_says_that_it_is_for_research() -> None:
    """The notice stands at the upper right, in amber."""
    volume, findings = _findings((50, 90, 80))
    pages = [
        draw_overview_page(volume, findings, ["51"], "series 2", FOOTER, pages=60),
        draw_lesion_page(volume, findings, findings.lesions[0], "Here.", "image 51", FOOTER),
        statement_page("Not analysed", ["Why."], FOOTER),
    ]
    notices = [_amber(page[:64, PAGE // 2 :]) for page in pages]
    assert notices[0].sum() > 500 and all(np.array_equal(notices[0], other) for other in notices[1:])
