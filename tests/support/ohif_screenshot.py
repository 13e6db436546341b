"""The picture of the README: the demo's study in OHIF, its largest candidate in the middle.

    make demo
    python -m tests.support.ohif_screenshot docs/images/ohif.png [--demo demo-output]
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from pydicom import Dataset, dcmread

from dicom_node.demo.archive_client import Candidate, received_results
from tests.support.ohif_browser import VIEWPORT, Viewer, open_viewer
from tests.support.ohif_packages import OHIF, Unavailable, fetch_packages
from tests.support.ohif_server import served_viewer
from tests.support.orthanc import orthanc

WINDOW = (1400, 900)
ZOOM = 1.7
COLOURS = 256  # of the picture: a file of a few hundred kilobytes


def main() -> int:
    """Take the picture; exit status 0 when it is written."""
    arguments = _arguments()
    try:
        fetch_packages()
        with _opened(arguments.demo) as (viewer, ct):
            candidate = max(received_results(arguments.demo).candidates, key=lambda one: one.volume_mm3)
            _turn_to(viewer, ct, candidate)
            viewer.look_at_page("page")
            picture = Image.open(viewer.folder / "page.png").convert("RGB")
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 1
    picture.quantize(COLOURS).save(arguments.output, optimize=True)
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")
    return 0


@contextmanager
def _opened(demo: Path) -> Iterator[tuple[Viewer, list[Dataset]]]:
    """The demo's study in a viewer with its segments shown, and the headers of its CT slices."""
    series = _files_by_series(demo)
    headers = [dcmread(files[0], stop_before_pixels=True) for files in series]
    (ct_files,) = [files for files, header in zip(series, headers, strict=True) if header.Modality == "CT"]
    ct: list[Dataset] = [dcmread(file, stop_before_pixels=True) for file in ct_files]
    with tempfile.TemporaryDirectory() as name, orthanc(Path(name) / "archive") as archive:
        for files in series:
            archive.upload(files)
        with (
            served_viewer(OHIF.folder / "dist", archive.http_port) as address,
            open_viewer(address, Path(name), WINDOW) as viewer,
        ):
            viewer.open_study(str(ct[0].StudyInstanceUID))
            viewer.show_segmentation()
            yield viewer, ct


def _files_by_series(folder: Path) -> list[list[Path]]:
    """All DICOM files below `folder` that are a scanner's or an archive's, one list for each series."""
    found: dict[str, list[Path]] = defaultdict(list)
    for file in sorted([*folder.glob("phantom/series-*/*.dcm"), *folder.glob("run-*/archive/**/*.dcm")]):
        found[str(dcmread(file, stop_before_pixels=True).SeriesInstanceUID)].append(file)
    return list(found.values())


def _turn_to(viewer: Viewer, ct: list[Dataset], candidate: Candidate) -> None:
    """Show the slice through the candidate's centre, enlarged, the candidate in the middle."""
    x, y, z = candidate.centre_lps_mm
    nearest = min(ct, key=lambda header: abs(float(header.ImagePositionPatient[2]) - z))
    viewer.turn_to(str(nearest.SOPInstanceUID))
    viewer.evaluate(f"""(() => {{ const viewport = {VIEWPORT};
        viewport.setZoom({ZOOM});
        const at = viewport.worldToCanvas([{x}, {y}, {float(nearest.ImagePositionPatient[2])}]);
        const pan = viewport.getPan();
        viewport.setPan([pan[0] + viewport.canvas.clientWidth / 2 - at[0],
                         pan[1] + viewport.canvas.clientHeight / 2 - at[1]]);
        viewport.render(); }})()""")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the PNG file")
    parser.add_argument("--demo", type=Path, default=Path("demo-output"), help="what `make demo` wrote")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
