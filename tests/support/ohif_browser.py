"""OHIF as a reader uses it: open a study, load a series, turn to a slice, look."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.ohif_packages import PLAYWRIGHT, Unavailable

DRIVER = Path(__file__).with_name("ohif_driver.mjs")
DEADLINE_S = 120  # for one step; software rendering on a busy machine takes seconds
LOOKS = 40
"""How often the page is looked at, at most, until it stands still."""
STILL = 3  # looks in a row that see the same

VIEWPORT = "window.cornerstone?.getEnabledElements()[0]?.viewport"
RENDERED = f"{VIEWPORT}?.viewportStatus === 'rendered'"
FITTED = f"""(() => {{ const canvas = {VIEWPORT}?.canvas, pane = document.querySelector('[data-cy=viewport-pane]');
    return canvas && Math.abs(canvas.clientWidth - pane.clientWidth) < 8
        && Math.abs(canvas.width - canvas.clientWidth) < 2; }})()"""
DRAWN_AGAIN = f"""new Promise(done => {{ const viewport = {VIEWPORT};
    viewport.element.addEventListener('CORNERSTONE_IMAGE_RENDERED',
        () => requestAnimationFrame(() => requestAnimationFrame(() => done(true))), {{ once: true }});
    viewport.render(); }})"""

Picture = NDArray[np.uint8]
"""(rows, columns, 3), as the screen shows it."""


class Viewer:
    """One page of a browser with OHIF in it."""

    def __init__(self, process: "subprocess.Popen[str]", address: str, folder: Path) -> None:
        self._process, self._address = process, address
        self.folder = folder

    def open_study(self, study_instance_uid: str) -> None:
        """Open a study; returns when its first image is shown and has its size."""
        self._do("open", url=f"{self._address}/viewer?StudyInstanceUIDs={study_instance_uid}")
        self.wait_for(RENDERED)
        self.wait_for(FITTED)

    def load(self, text: str) -> None:
        """Double-click the series in the list whose entry contains `text`."""
        self._do("click_twice", selector=f"[data-cy^='study-browser-thumbnail']:has-text({json.dumps(text)})")

    def show_segmentation(self) -> None:
        """Load the study's SEG over its CT, and open the list of segments beside it."""
        self.load("GLIA-Net aneurysm candidates")
        self.wait_for("window.services.segmentationService.getSegmentations().length")
        self.click("panelSegmentation-btn")
        self.wait_for("document.querySelectorAll('[data-cy=data-row]').length")

    def click(self, name: str) -> None:
        """Click what OHIF names so for its own tests."""
        self._do("click", selector=f"[data-cy^='{name}']")

    def turn_to(self, sop_instance_uid: str) -> None:
        """Show the slice with this identifier."""
        self.wait_for(f"""(() => {{
            const viewport = {VIEWPORT}, uid = '/{sop_instance_uid}/';
            const index = viewport?.getImageIds?.().findIndex(one => one.includes(uid)) ?? -1;
            if (index >= 0 && viewport.getCurrentImageIdIndex() !== index) viewport.setImageIdIndex(index);
            return index >= 0 && viewport.getCornerstoneImage()?.imageId.includes(uid); }})()""")

    def wait_for(self, expression: str) -> Any:
        """The first true value of an expression in the page."""
        return self._do("wait", script=expression)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return self._do("evaluate", script=expression)

    def texts(self, selector: str) -> list[str]:
        """What the elements that match show as text, each in one line."""
        found = self.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map(one => one.textContent)")
        return [" ".join(text.split()) for text in found]

    def look(self, name: str) -> Picture:
        """A picture of the images' pane, when it stands still; kept as `name`.png."""
        self.wait_for(FITTED)
        self.evaluate(DRAWN_AGAIN)
        pane = self.evaluate("document.querySelector('[data-cy=viewport-pane]').getBoundingClientRect().toJSON()")
        clip = {key: int(pane[key]) for key in ("x", "y", "width", "height")}
        return self._still_picture(name, clip)

    def look_at_page(self, name: str) -> Picture:
        """A picture of the whole page, when it stands still; kept as `name`.png."""
        return self._still_picture(name, None)

    def complaints(self) -> list[str]:
        """The errors that the page has thrown or logged."""
        return list(self._do("complaints"))

    def _still_picture(self, name: str, clip: dict[str, int] | None) -> Picture:
        path = self.folder / f"{name}.png"
        seen: list[Picture] = []
        for _ in range(LOOKS):
            self._do("picture", path=str(path), **({} if clip is None else {"clip": clip}))
            picture = np.asarray(Image.open(path).convert("RGB"))
            seen = [one for one in seen if np.array_equal(one, picture)] + [picture]
            if len(seen) == STILL:
                return picture
        raise AssertionError(f"the page did not stand still: {path}")

    def _do(self, command: str, **options: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"command": command, **options}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the browser ended with status {self._process.wait()}, asked to {command} {options}"
        decoded = json.loads(answer)
        assert "error" not in decoded, f"{command} {options}: {decoded['error']}"
        return decoded["value"]


@contextmanager
def open_viewer(address: str, folder: Path, size: tuple[int, int]) -> Iterator[Viewer]:
    """A browser with a window of `size` (width, height) for the OHIF at `address`; its pictures go into `folder`."""
    command = [needed_program("node", "nodejs"), str(DRIVER), str(PLAYWRIGHT.folder)]
    command += [needed_program("chromium", "chromium"), *map(str, size), str(1000 * DEADLINE_S)]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "browser.log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            yield Viewer(process, address, folder)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    try:
        process.communicate(timeout=DEADLINE_S)  # the end of its input ends it
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def needed_program(name: str, package: str) -> str:
    """The path of a program.

    Raises:
        Unavailable: it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"{name} is not installed (Debian package {package})")
    return path
