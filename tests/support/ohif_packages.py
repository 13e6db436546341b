"""The built OHIF viewer and the library that drives a browser: two packages of npm, kept below build/.

`python -m tests.support.ohif_packages` (`make viewer`) fetches what is missing. Only these two are fetched, not what
they depend on: the viewer comes built, and playwright-core depends on nothing.
"""

import base64
import fcntl
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "build" / "viewer"
FETCH_WITHIN_S = 300
LAST_WORDS = 400  # characters of npm's complaint that a reason repeats


@dataclass(frozen=True)
class Package:
    """A package of npm; sha512 of its archive, in base64 as npm states it."""

    name: str
    version: str
    sha512: str

    @property
    def folder(self) -> Path:
        """Where its files lie once they are here."""
        return FOLDER / f"{self.name.strip('@').replace('/', '-')}-{self.version}"


OHIF = Package(
    "@ohif/app",
    "3.13.2",
    "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==",
)
PLAYWRIGHT = Package(  # the newest for Node.js 18, which Debian 12 has
    "playwright-core",
    "1.60.0",
    "9bW6zvX/m0lEbgTKJ6YppOKx8H3VOPBMOCFh2irXFOT4BbHgrx5hPjwJYLT40Lu+4qtD36qKc/Hn56StUW57IA==",
)


class Unavailable(Exception):
    """What a test of the viewer needs is not here, and why."""


def fetch_packages() -> None:
    """Fetch both packages, where they are not here yet.

    Raises:
        Unavailable: npm is missing or fails, or what it brought is not what is pinned.
    """
    with _alone():
        for package in (OHIF, PLAYWRIGHT):
            if not package.folder.is_dir():
                _fetch(package)


def _fetch(package: Package) -> None:
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        folder = Path(name)
        archive = _packed(package, folder)
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != package.sha512:
            raise Unavailable(f"{package.name} {package.version} from npm has the SHA-512 {found}, not the pinned one")
        with tarfile.open(archive) as content:
            members = [one for one in content.getmembers() if not one.name.endswith(".map")]
            content.extractall(folder, members, filter="data")
        (folder / "package").rename(package.folder)


def _packed(package: Package, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is not installed (Debian package npm)")
    command = [npm, "pack", "--silent", "--pack-destination", str(folder), f"{package.name}@{package.version}"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCH_WITHIN_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"npm did not bring {package.name} within {FETCH_WITHIN_S} s") from error
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        words = " ".join(done.stderr.split())[-LAST_WORDS:] or "no message"
        raise Unavailable(f"npm did not bring {package.name} {package.version} (status {done.returncode}): {words}")
    return archives[0]


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time fetches."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        fetch_packages()
    except Unavailable as error:
        sys.exit(f"The viewer for tests/integration/test_ohif.py is not here: {error}")
