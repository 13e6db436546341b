"""What a reader sees: the node's results in OHIF, in a browser, on an archive's DICOMweb; told from the pixels.

Where the mask must lie in a picture follows from white squares in the CT, not from what the viewer says. The overlay
is what differs between two pictures of a slice, with the segments shown and hidden.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

from tests.support.ohif import new_viewer, viewer_address
from tests.support.ohif_browser import DEADLINE_S, Picture, Viewer
from tests.support.ohif_pictures import Placement, coloured, grown, place, shows_markers
from tests.support.ohif_study import ViewerStudy, make_viewer_study
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

WITH_LESION = (4, 8, 13, 16, 19)  # the first and the last slice of a lesion, two at once, the last of all
WITHOUT_LESION = (3, 9, 20)  # next to a lesion
TOLERANCE_VOXELS = 1.0
MARKERS_WITHIN_VOXELS = 0.35  # what rounding to pixels moves the middle of a square
REPORTS = ("sr", "sr-comprehensive")
ONE_PAGE_CORRELATES, OTHERS_CORRELATE = 0.9, 0.75  # the viewer writes and draws over a page
BLOCK = 8  # pixels over which key images are averaged before they are compared


@dataclass(frozen=True, eq=False)
class Served:
    """The studies by the kind of their report, and the viewer's address."""

    studies: dict[str, ViewerStudy]
    address: str
    folder: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("ohif")
    studies = {kind: make_viewer_study(folder / kind, kind, {"seg", kind, "key-image"}) for kind in REPORTS}
    with viewer_address(folder, list(studies.values())) as address:
        yield Served(studies, address, folder)


def test_the_overlay_lies_where_the_mask_is_and_nowhere_else(served: Served) -> None:
    study = served.studies["sr"]
    with new_viewer(served.address, served.folder, "segmentation") as viewer:
        viewer.open_study(study.study_instance_uid)
        viewer.show_segmentation()
        names = [f"Aneurysm candidate {number}" for number in (1, 2, 3)]
        rows = "[data-cy=data-row-title]"
        wait_until(lambda: viewer.texts(rows) == names, DEADLINE_S, f"the list of segments is {names}")
        slices = sorted({*WITH_LESION, *WITHOUT_LESION})
        visible = {k: _look_at_slice(viewer, study, k, "visible") for k in slices}
        viewer.click("all-segments-visibility-toggle")
        hidden = {k: _look_at_slice(viewer, study, k, "hidden") for k in slices}
        assert viewer.complaints() == []
    for k in slices:
        where = place(hidden[k])
        assert where.slice_index == k
        assert where.residual_px < MARKERS_WITHIN_VOXELS * where.voxel_px
        _check_upright(where)
        mask = where.project(study.findings.labels[k], hidden[k].shape)
        overlay = coloured(visible[k], hidden[k]) & where.image(hidden[k].shape)
        _check_overlay(overlay, mask, where, expected=k in WITH_LESION)


@pytest.mark.parametrize("kind", REPORTS)
def test_the_report_shows_its_measurements_at_the_lesion(served: Served, kind: str) -> None:
    study = served.studies[kind]
    lesion = study.findings.lesions[0]
    with new_viewer(served.address, served.folder, f"report-{kind}") as viewer:
        viewer.open_study(study.study_instance_uid)
        viewer.load("GLIA-Net report")
        viewer.wait_for("document.querySelector('[data-cy^=ModalityLoadBadge]')")
        picture = _look(viewer, "report")
        shown = " ".join(viewer.texts("svg text"))
    assert f"Volume: {lesion.volume_mm3:.2f} mm3" in shown
    assert f"Maximum 3D Diameter of a Mesh: {lesion.maximum_diameter_mm:.2f} mm" in shown
    assert f"Mean network score (not a probability): {100 * lesion.mean_score:.2f} %" in shown
    where = place(picture)
    assert where.slice_index == lesion.centre_index[0]
    _check_arrow_ends(picture, where, lesion.centre_index[1:])


def test_key_images_open_and_look_as_they_were_encoded(served: Served) -> None:
    study = served.studies["sr"]
    pages = study.of_kind("key-image")
    drawn = [dcmread(BytesIO(page.data)).pixel_array for page in pages]
    with new_viewer(served.address, served.folder, "key-images") as viewer:
        viewer.open_study(study.study_instance_uid)
        viewer.load("GLIA-Net key images")
        for number, page in enumerate(pages):
            viewer.turn_to(page.sop_instance_uid)
            alike = _look_at_page(viewer, drawn, number)
            assert all(value < OTHERS_CORRELATE for at, value in enumerate(alike) if at != number), alike


def _look_at_slice(viewer: Viewer, study: ViewerStudy, k: int, state: str) -> Picture:
    viewer.turn_to(study.slice_uid(k))
    return _look(viewer, f"slice-{k:02d}-{state}")


def _look(viewer: Viewer, name: str) -> Picture:
    """A picture in which every marker is, once the viewer has laid itself out."""

    def look() -> list[Picture]:
        picture = viewer.look(name)
        return [picture] if shows_markers(picture) else []

    (picture,) = wait_until(look, DEADLINE_S, f"every marker is in the picture {name}")
    return picture


def _look_at_page(viewer: Viewer, drawn: list[Picture], number: int) -> list[float]:
    """How much what is shown is like each page, when it is like page `number` of them."""
    alike: list[float] = []

    def is_shown() -> bool:
        seen = viewer.look(f"page-{number + 1}")
        alike[:] = [_correlation(seen, _fitted(one, seen.shape)) for one in drawn]
        return alike[number] > ONE_PAGE_CORRELATES

    wait_until(is_shown, DEADLINE_S, f"page {number + 1} is shown", context=lambda: str(alike))
    return alike


def _check_upright(where: Placement) -> None:
    """Rows run down and columns to the right at one scale: the patient's right is at the left."""
    scale = where.voxel_px
    np.testing.assert_allclose(where.voxel_to_pixel[:, :2], [[scale, 0], [0, scale]], atol=0.02 * scale)


def _check_overlay(
    overlay: NDArray[np.bool_], mask: NDArray[np.uint16], where: Placement, *, expected: bool
) -> None:
    """Within a voxel; each lesion on its own, its middle within half a voxel."""
    if not expected:
        assert not mask.any() and not overlay.any()
        return
    tolerance = TOLERANCE_VOXELS * where.voxel_px
    assert not (overlay & ~grown(mask > 0, tolerance)).any(), "colour where there is no lesion"
    numbers = np.unique(mask[mask > 0])
    assert numbers.size
    for number in numbers:
        lesion = mask == number
        assert overlay[grown(lesion, -tolerance)].all(), f"no colour inside lesion {number}"
        drawn = overlay & grown(lesion, tolerance)
        off = np.argwhere(drawn).mean(axis=0) - np.argwhere(lesion).mean(axis=0)
        assert np.abs(off).max() < where.voxel_px / 2, f"lesion {number} is drawn {off} pixels off"


def _check_arrow_ends(picture: Picture, where: Placement, centre: tuple[int, ...]) -> None:
    """Something green is drawn within two voxels of the lesion's centre."""
    y, x = where.voxel_to_pixel @ (*centre, 1)
    green = (picture[..., 1] > 150) & (picture[..., 0] < 100) & (picture[..., 2] < 100)
    distances = np.hypot(*(np.argwhere(green) - (y, x)).T)
    assert distances.min() < 2 * where.voxel_px


def _fitted(page: Picture, shape: tuple[int, ...]) -> Picture:
    """The page as a viewer shows it first: as large as the pane allows, in its middle, on black."""
    height, width = shape[:2]
    scale = min(height / page.shape[0], width / page.shape[1])
    rows, columns = round(page.shape[0] * scale), round(page.shape[1] * scale)
    top, left = (height - rows) // 2, (width - columns) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + rows, left : left + columns] = np.asarray(Image.fromarray(page).resize((columns, rows)))
    return canvas


def _correlation(one: Picture, other: Picture) -> float:
    return float(np.corrcoef(_coarse(one).ravel(), _coarse(other).ravel())[0, 1])


def _coarse(picture: Picture) -> NDArray[np.float64]:
    """Mean grey value of blocks of BLOCK x BLOCK pixels."""
    rows, columns = (size // BLOCK for size in picture.shape[:2])
    grey = picture[: rows * BLOCK, : columns * BLOCK].mean(axis=2)
    return np.asarray(grey.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3)))
