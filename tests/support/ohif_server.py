"""A built OHIF viewer served on loopback, with an Orthanc's DICOMweb below the same address."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DICOMWEB = "/dicom-web"
ANSWER_WITHIN_S = 120.0
PASSED_ON = ("Accept", "Host", "Range")  # Host: addresses in the answers are the viewer's own
DATA_SOURCE = {
    "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
    "sourceName": "archive",
    "configuration": {
        "friendlyName": "Archive",
        "name": "archive",
        "wadoUriRoot": DICOMWEB,
        "qidoRoot": DICOMWEB,
        "wadoRoot": DICOMWEB,
        "qidoSupportsIncludeField": False,
        "supportsFuzzyMatching": False,
        "supportsWildcard": True,
        "imageRendering": "wadors",
        "thumbnailRendering": "wadors",
        "enableStudyLazyLoad": True,
        "omitQuotationForMultipartRequest": True,
        "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
    },
}
CONFIGURATION = {
    "routerBasename": None,
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "maxNumberOfWebWorkers": 2,
    "showWarningMessageForCrossOrigin": False,
    "showCPUFallbackMessage": False,
    "strictZSpacingForVolumeViewport": True,
    "disableConfirmationPrompts": True,  # a SEG or SR that is chosen is loaded
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": DATA_SOURCE["sourceName"],
    "dataSources": [DATA_SOURCE],
}


@contextmanager
def served_viewer(dist: Path, orthanc_http_port: int) -> Iterator[str]:
    """Serve the viewer in `dist` while the block runs; the address that it is at."""
    handler = partial(_Handler, orthanc_http_port, directory=str(dist))
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # a browser asks for many images at once


class _Handler(SimpleHTTPRequestHandler):
    """Files of the viewer; its settings; its page for every other address; DICOMweb passed on."""

    protocol_version = "HTTP/1.1"

    def __init__(self, orthanc_http_port: int, *arguments: object, directory: str) -> None:
        self._archive = f"http://127.0.0.1:{orthanc_http_port}"
        super().__init__(*arguments, directory=directory)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(f"{DICOMWEB}/"):
            self._pass_on()
        elif path == "/app-config.js":
            self._answer(200, "text/javascript", f"window.config = {json.dumps(CONFIGURATION)};".encode())
        else:
            if not Path(self.translate_path(path)).is_file():
                self.path = "/index.html"
            super().do_GET()

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")  # what SharedArrayBuffer asks for
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing: the browser's requests say nothing that a test needs."""

    def _pass_on(self) -> None:
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        request = urllib.request.Request(f"{self._archive}{self.path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_S) as answer:
                self._answer(answer.status, answer.headers["Content-Type"], answer.read())
        except urllib.error.HTTPError as error:
            self._answer(error.code, error.headers.get("Content-Type", "text/plain"), error.read())

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
