"""DCMTK's programs as the other side: storescu as scanner, storescp as PACS, and its compressors."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread

from dicom_node.delivery import echo
from dicom_node.send import RemoteNode
from tests.support.dicom_network import program
from tests.support.ports import free_port
from tests.support.waiting import wait_until

AE_TITLE = "DCMTKPACS"
START_WITHIN_S = 20.0
SEND_WITHIN_S = 60.0
COMPRESSORS = {
    "jpeg-lossless": ("dcmcjpeg", "+el"),  # process 14
    "jpeg-lossless-sv1": ("dcmcjpeg", "+e1"),  # process 14, selection value 1
    "jpeg-ls-lossless": ("dcmcjpls", "+el"),
    "rle": ("dcmcrle",),
    "deflated": ("dcmconv", "+td"),
    "implicit-little-endian": ("dcmconv", "+ti"),
    "explicit-big-endian": ("dcmconv", "+tb"),
}


@dataclass(frozen=True)
class StoreScp:
    """A running storescp and the folder it writes into."""

    port: int
    folder: Path

    @property
    def destination(self) -> dict[str, object]:
        """It as a [[destination]]."""
        return {"name": "dcmtk", "ae_title": AE_TITLE, "host": "127.0.0.1", "port": self.port}

    def objects(self) -> list[Dataset]:
        """Everything that arrived."""
        return [dcmread(file) for file in sorted(self.folder.iterdir())]


@contextmanager
def storescp(folder: Path) -> Iterator[StoreScp]:
    """A storescp that writes what it is sent as it comes into `folder`."""
    folder.mkdir(parents=True)
    port = free_port()
    log = folder.with_suffix(".log")
    command = [program("storescp"), "--aetitle", AE_TITLE, "--accept-all", "--output-directory", str(folder)]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, str(port)], stdout=output, stderr=subprocess.STDOUT)
    peer = RemoteNode(AE_TITLE, "127.0.0.1", port, connect_timeout_s=2.0, dimse_timeout_s=5.0)
    try:
        wait_until(lambda: echo(peer, "TESTER").ok, START_WITHIN_S, "storescp answers", context=log.read_text)
        yield StoreScp(port, folder)
    finally:
        process.terminate()
        process.wait()


def storescu(folder: Path, port: int, called: str, *options: str) -> None:
    """Send all files of a folder with DCMTK's storescu over one association."""
    command = [program("storescu"), "--aetitle", "DCMTKSCANNER", "--call", called, "--scan-directories"]
    command += [*options, "127.0.0.1", str(port), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SEND_WITHIN_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def compress(files: Sequence[Path], kind: str, folder: Path) -> list[Path]:
    """Write `files` anew in the transfer syntax that `kind` names (a key of COMPRESSORS); the new files."""
    name, *options = COMPRESSORS[kind]
    tool = program(name)
    folder.mkdir(parents=True)
    written = [folder / file.name for file in files]
    for file, target in zip(files, written, strict=True):
        done = subprocess.run(
            [tool, *options, str(file), str(target)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return written
