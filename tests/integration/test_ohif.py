"""What a reader sees: the node's results in OHIF, in a browser, on an archive's DICOMweb; told from the pixels.

Two studies. One is the demo's: the series that `make demo` sends, analysed with the shipped weights and the default
settings, and all that a node sends to an archive. Where the mask must lie in a picture follows from laying the CT's own
slices over the picture. The other is a small made one, with white squares in the CT that tell the same without any
search. The overlay is what differs between two pictures of a slice, with the segments shown and hidden. The README's
picture is made here.
"""

from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from glianet.findings import Findings, Lesion
from tests.support.ohif import ViewerArchive, viewer_archive
from tests.support.ohif_browser import DEADLINE_S, Picture, Viewer
from tests.support.ohif_checks import check_arrow_ends, check_overlay, check_upright
from tests.support.ohif_demo import make_demo_study
from tests.support.ohif_markers import place
from tests.support.ohif_pictures import page_likeness
from tests.support.ohif_registration import register
from tests.support.ohif_screenshot import enlarge, keep_for_readme
from tests.support.ohif_study import ViewerStudy, make_viewer_study
from tests.support.waiting import wait_until

Where = TypeVar("Where")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

WINDOW = (1400, 840)  # pixels, each drawn by the CPU; wide enough for an image between the pane's controls
FIRST_LOOK_S = 60  # twice must fit into the limit of a test
SMALL_WINDOW = (1150, 480)
MADE_WITH_LESION = (4, 8, 13, 16, 19)  # the first and the last slice of a lesion, two at once, the last of all
MADE_WITHOUT_LESION = (3, 9, 20)  # next to a lesion
FAR = 20  # slices from all lesions
REPORT_OF_TWO_DIMENSIONS = "sr-comprehensive"
ONE_PAGE_CORRELATES, OTHERS_CORRELATE = 0.9, 0.75  # the viewer writes and draws over a page


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewerArchive]:
    with viewer_archive(tmp_path_factory.mktemp("ohif")) as archive:
        yield archive


@pytest.fixture(scope="module")
def made(archive: ViewerArchive) -> ViewerStudy:
    kinds = {"seg", REPORT_OF_TWO_DIMENSIONS}
    return archive.add(make_viewer_study(archive.folder / "made", "made", kinds))


@pytest.fixture(scope="module")
def demo(archive: ViewerArchive, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> ViewerStudy:
    """One for all processes of the test run."""
    base = tmp_path_factory.getbasetemp()
    return archive.add(make_demo_study((base if worker_id == "master" else base.parent) / "ohif-demo"))


def test_the_overlay_lies_on_the_demos_aneurysms_and_nowhere_else(archive: ViewerArchive, demo: ViewerStudy) -> None:
    findings, series = demo.findings, demo.hounsfield()
    slices, largest = _slices_to_look_at(findings), max(findings.lesions, key=lambda one: one.voxels)
    with archive.new_viewer("demo-segmentation", WINDOW) as viewer:
        viewer.open_study(demo.study_instance_uid)
        viewer.show_segmentation()
        _wait_for_names(viewer, findings)
        viewer.turn_to(demo.slice_uid(slices[0]))
        _look_until_placed(viewer, "first", partial(register, hu=series[slices[0]]))
        visible = {k: _look_at_slice(viewer, demo, k, "visible") for k in slices}
        _show_or_hide(viewer)
        hidden = {k: _look_at_slice(viewer, demo, k, "hidden") for k in slices}
        enlarge(viewer, demo, largest)
        large_hidden = viewer.look("enlarged-hidden")
        _show_or_hide(viewer)
        large_visible = viewer.look("enlarged-visible")
        viewer.look_at_page("page")
        assert viewer.complaints() == []
    for k in slices:
        _check_demo_slice(visible[k], hidden[k], findings, series, k)
    _check_demo_slice(large_visible, large_hidden, findings, series, largest.centre_index[0])
    keep_for_readme(viewer.folder / "page.png")


def test_the_report_shows_the_measurements_of_each_of_the_demos_candidates(
    archive: ViewerArchive, demo: ViewerStudy
) -> None:
    series = demo.hounsfield()
    with archive.new_viewer("demo-report", WINDOW) as viewer:
        _open_report(viewer, demo)
        for lesion in demo.findings.lesions:
            plane = series[lesion.centre_index[0]]
            _wait_for_measurements(viewer, lesion)
            picture, where = _look_until_placed(viewer, f"report-{lesion.number}", partial(register, hu=plane))
            check_arrow_ends(picture, where, lesion.centre_index[1:])
            viewer.click("viewport-action-arrows-right")


def test_key_images_of_the_demo_open_and_look_as_they_were_encoded(archive: ViewerArchive, demo: ViewerStudy) -> None:
    pages = demo.of_kind("key-image")
    drawn = [dcmread(BytesIO(page.data)).pixel_array for page in pages]
    assert len(pages) == 1 + len(demo.findings.lesions)
    with archive.new_viewer("demo-key-images", WINDOW) as viewer:
        viewer.open_study(demo.study_instance_uid)
        viewer.load("GLIA-Net key images")
        for number, page in enumerate(pages):
            viewer.turn_to(page.sop_instance_uid)
            alike = _look_at_page(viewer, drawn, number)
            assert all(value < OTHERS_CORRELATE for at, value in enumerate(alike) if at != number), alike


def test_the_overlay_lies_where_the_mask_is_and_nowhere_else(archive: ViewerArchive, made: ViewerStudy) -> None:
    slices = sorted({*MADE_WITH_LESION, *MADE_WITHOUT_LESION})
    with archive.new_viewer("made-segmentation", SMALL_WINDOW) as viewer:
        viewer.open_study(made.study_instance_uid)
        viewer.show_segmentation()
        _wait_for_names(viewer, made.findings)
        visible = {k: _look_at_marked_slice(viewer, made, k, "visible") for k in slices}
        _show_or_hide(viewer)
        hidden = {k: _look_at_marked_slice(viewer, made, k, "hidden") for k in slices}
        assert viewer.complaints() == []
    for k in slices:
        labels = made.findings.labels[k]
        assert labels.any() == (k in MADE_WITH_LESION)
        where, index = place(hidden[k])
        assert index == k
        check_upright(where)
        check_overlay(visible[k], hidden[k], labels, where)


def test_a_report_without_points_of_the_patient_shows_its_measurements(
    archive: ViewerArchive, made: ViewerStudy
) -> None:
    """On a busy machine OHIF has once drawn something white beside the image that stayed: it is opened again."""
    lesion = made.findings.lesions[0]
    for again in (True, False):
        with archive.new_viewer("made-report", SMALL_WINDOW) as viewer:
            _open_report(viewer, made)
            _wait_for_measurements(viewer, lesion)
            try:
                picture, (where, index) = _look_until_placed(
                    viewer, f"report-{lesion.number}", place, FIRST_LOOK_S
                )
                break
            except AssertionError:
                if not again:
                    raise
    assert index == lesion.centre_index[0]
    check_arrow_ends(picture, where, lesion.centre_index[1:])


def _slices_to_look_at(findings: Findings) -> list[int]:
    """With a lesion: the middle of each, the last of all. Without: next to the first and the last, and far away."""
    with_lesion = np.flatnonzero(findings.labels.any(axis=(1, 2)))
    first, last = int(with_lesion[0]), int(with_lesion[-1])
    middles = [lesion.centre_index[0] for lesion in findings.lesions]
    return sorted({*middles, last, first - 1, last + 1, first - FAR})


def _wait_for_names(viewer: Viewer, findings: Findings) -> None:
    names = [f"Aneurysm candidate {lesion.number}" for lesion in findings.lesions]
    rows = "[data-cy=data-row-title]"
    wait_until(lambda: viewer.texts(rows) == names, DEADLINE_S, f"the list of segments is {names}")


def _show_or_hide(viewer: Viewer) -> None:
    viewer.click("all-segments-visibility-toggle")


def _look_at_slice(viewer: Viewer, study: ViewerStudy, k: int, state: str) -> Picture:
    viewer.turn_to(study.slice_uid(k))
    return viewer.look(f"slice-{k:03d}-{state}")


def _look_at_marked_slice(viewer: Viewer, study: ViewerStudy, k: int, state: str) -> Picture:
    viewer.turn_to(study.slice_uid(k))
    return _look_until_placed(viewer, f"slice-{k:03d}-{state}", place)[0]


def _look_until_placed(
    viewer: Viewer, name: str, find: Callable[[Picture], Where], deadline_s: float = DEADLINE_S
) -> tuple[Picture, Where]:
    """A picture and where the slice lies in it, once the viewer has laid itself out."""
    why = [""]

    def look() -> list[tuple[Picture, Where]]:
        picture = viewer.look(name)
        try:
            return [(picture, find(picture))]
        except AssertionError as error:
            why[:] = [str(error)]
            return []

    (found,) = wait_until(look, deadline_s, f"the slice is seen in the picture {name}", context=lambda: why[0])
    return found


def _check_demo_slice(
    visible: Picture, hidden: Picture, findings: Findings, series: NDArray[np.int16], k: int
) -> None:
    where = register(hidden, series[k])
    check_upright(where)
    check_overlay(visible, hidden, findings.labels[k], where)


def _open_report(viewer: Viewer, study: ViewerStudy) -> None:
    viewer.open_study(study.study_instance_uid)
    viewer.load("GLIA-Net report")
    viewer.wait_for("document.querySelector('[data-cy^=ModalityLoadBadge]')")


def _wait_for_measurements(viewer: Viewer, lesion: Lesion) -> None:
    """Returns when the lesion's measurements are written over the images."""
    said = [
        f"Volume: {lesion.volume_mm3:.2f} mm3",
        f"Maximum 3D Diameter of a Mesh: {lesion.maximum_diameter_mm:.2f} mm",
        f"Mean network score (not a probability): {100 * lesion.mean_score:.1f}0 %",
        f"Maximum network score (not a probability): {100 * lesion.maximum_score:.1f}0 %",
    ]

    def is_said() -> bool:
        shown = " ".join(viewer.texts("svg text"))
        return all(words in shown for words in said)

    wait_until(is_said, DEADLINE_S, f"the viewer writes {said}", context=lambda: str(viewer.texts("svg text")))


def _look_at_page(viewer: Viewer, drawn: list[Picture], number: int) -> list[float]:
    """How much what is shown is like each page, when it is like page `number` of them."""
    alike: list[float] = []

    def is_shown() -> bool:
        seen = viewer.look(f"page-{number + 1}")
        alike[:] = [page_likeness(seen, one) for one in drawn]
        return alike[number] > ONE_PAGE_CORRELATES

    wait_until(is_shown, DEADLINE_S, f"page {number + 1} is shown", context=lambda: str(alike))
    return alike
