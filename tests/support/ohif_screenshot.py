"""The picture of the README: a study in OHIF, one candidate enlarged in the middle."""

import os
from pathlib import Path

from PIL import Image

from glianet.findings import Lesion
from tests.support.ohif_browser import VIEWPORT, Viewer
from tests.support.ohif_study import ViewerStudy

ZOOM = 1.7
COLOURS = 256  # of the picture: a file of a few hundred kilobytes
README_PICTURE = "OHIF_README_PICTURE"
"""The environment variable that names the file of the README's picture, where it is to be written."""


def enlarge(viewer: Viewer, study: ViewerStudy, lesion: Lesion) -> None:
    """Show the slice through the lesion's centre, enlarged, the lesion in the middle."""
    viewer.turn_to(study.slice_uid(lesion.centre_index[0]))
    viewer.evaluate(f"""(() => {{ const viewport = {VIEWPORT};
        viewport.setZoom({ZOOM});
        const at = viewport.worldToCanvas({list(lesion.centre_lps_mm)});
        const pan = viewport.getPan();
        viewport.setPan([pan[0] + viewport.canvas.clientWidth / 2 - at[0],
                         pan[1] + viewport.canvas.clientHeight / 2 - at[1]]);
        viewport.render(); }})()""")


def keep_for_readme(page: Path) -> None:
    """Make the README's picture of that of a whole page, where $OHIF_README_PICTURE asks for it."""
    if target := os.environ.get(README_PICTURE):
        Image.open(page).convert("RGB").quantize(COLOURS).save(target, optimize=True)
