"""Orthanc as the other side: a PACS that is also the scanner, with its REST interface and DICOMweb."""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from tests.support.ports import free_port
from tests.support.waiting import wait_until

AE_TITLE = "ORTHANC"
START_WITHIN_S = 60.0
ANSWER_WITHIN_S = 60.0
DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc."""

    dicom_port: int
    http_port: int

    @property
    def destination(self) -> dict[str, object]:
        """It as a [[destination]]."""
        return {"name": "orthanc", "ae_title": AE_TITLE, "host": "127.0.0.1", "port": self.dicom_port}

    def upload(self, files: Sequence[Path]) -> str:
        """Put the files of one series into the archive; Orthanc's own identifier of the series."""
        parents = {self._post("/instances", file.read_bytes())["ParentSeries"] for file in files}
        (series,) = parents
        return str(series)

    def name_modality(self, name: str, ae_title: str, port: int) -> None:
        """Tell Orthanc of a peer that it may send to."""
        peer = {"AET": ae_title, "Host": "127.0.0.1", "Port": port}
        self._request("PUT", f"/modalities/{name}", json.dumps(peer).encode())

    def ask_for_commitment(self, name: str, instances: Sequence[tuple[str, str]]) -> str:
        """Have Orthanc ask a peer for storage commitment, as a scanner would; its identifier of the transaction."""
        wanted = [{"SOPClassUID": sop_class, "SOPInstanceUID": uid} for sop_class, uid in instances]
        body = json.dumps({"DicomInstances": wanted}).encode()
        return str(self._post(f"/modalities/{name}/storage-commitment", body)["ID"])

    def commitment_report(self, transaction: str) -> dict[str, Any]:
        """What the peer has reported: `Status` is "Pending", "Success" or "Failure"."""
        return dict(json.loads(self._request("GET", f"/storage-commitment/{transaction}")))

    def send(self, name: str, orthanc_id: str) -> None:
        """Have Orthanc C-STORE a series to a peer, as a scanner would; returns when all is answered Success."""
        answer = self._post(f"/modalities/{name}/store", json.dumps([orthanc_id]).encode())
        assert answer["FailedInstancesCount"] == 0, answer

    def query_series(self, study_instance_uid: str) -> list[dict[str, Any]]:
        """QIDO-RS: the series of a study, as DICOM JSON."""
        path = f"/dicom-web/studies/{study_instance_uid}/series"
        return list(json.loads(self._request("GET", path, accept="application/dicom+json")))

    def retrieve_series(self, study_instance_uid: str, series_instance_uid: str) -> list[Dataset]:
        """WADO-RS: the instances of a series."""
        return [dcmread(BytesIO(part)) for part in self.retrieve_files(study_instance_uid, series_instance_uid)]

    def retrieve_files(self, study_instance_uid: str, series_instance_uid: str) -> list[bytes]:
        """WADO-RS: the instances of a series as Part 10 files, in the transfer syntax that they were stored in."""
        path = f"/dicom-web/studies/{study_instance_uid}/series/{series_instance_uid}"
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        with self._open("GET", path, None, accept) as answer:
            return _parts(answer.read(), str(answer.headers.get_param("boundary")).encode())

    def _post(self, path: str, body: bytes) -> dict[str, Any]:
        return dict(json.loads(self._request("POST", path, body)))

    def _request(self, method: str, path: str, body: bytes | None = None, accept: str = "*/*") -> bytes:
        with self._open(method, path, body, accept) as answer:
            return bytes(answer.read())

    def _open(self, method: str, path: str, body: bytes | None, accept: str) -> Any:
        url = f"http://127.0.0.1:{self.http_port}{path}"
        request = urllib.request.Request(url, data=body, method=method, headers={"Accept": accept})
        return urllib.request.urlopen(request, timeout=ANSWER_WITHIN_S)


@contextmanager
def orthanc(folder: Path) -> Iterator[Orthanc]:
    """An Orthanc with DICOMweb and an empty archive in `folder`; skips, or in CI fails, where it is absent."""
    executable = _executable()
    folder.mkdir(parents=True)
    server = Orthanc(free_port(), free_port())
    config = folder / "orthanc.json"
    config.write_text(json.dumps(_configuration(server, folder)))
    log = folder / "orthanc.log"
    with log.open("wb") as output:
        process = subprocess.Popen([executable, str(config)], stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: _answers(server), START_WITHIN_S, "Orthanc answers", context=log.read_text)
        yield server
    finally:
        process.terminate()
        process.wait()


def _parts(body: bytes, boundary: bytes) -> list[bytes]:
    """The contents of a multipart message (RFC 2046 section 5.1.1), byte by byte."""
    parts = body.split(b"--" + boundary)[1:-1]
    return [part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for part in parts]


def _executable() -> str:
    found = shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin")
    missing = [] if found else ["orthanc"]
    missing += [] if DICOMWEB_PLUGIN.exists() else ["orthanc-dicomweb"]
    if not missing:
        return str(found)
    reason = f"not installed: Debian packages {' and '.join(missing)}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _configuration(server: Orthanc, folder: Path) -> dict[str, Any]:
    return {
        "Name": "Archive under test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "HttpPort": server.http_port,
        "DicomPort": server.dicom_port,
        "DicomAet": AE_TITLE,
        "DicomCheckCalledAet": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(DICOMWEB_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }


def _answers(server: Orthanc) -> bool:
    try:
        return bool(server._request("GET", "/system"))
    except (urllib.error.URLError, ConnectionError):
        return False
