"""A C-STORE client: every DICOM file below a folder goes to one peer, as it is."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import MediaStorageDirectoryStorage
from pynetdicom.association import Association

from dicom_node.association import (
    MAXIMUM_CONTEXTS,
    AssociationFailed,
    Context,
    Peer,
    accepted_contexts,
    associate,
    describe,
    describe_context,
)
from dicom_node.errors import NodeError
from dicom_node.printable import printable
from dicom_node.store_file import StoreAnswer, store_file
from dicom_node.tls import TlsClient

CONNECT_TIMEOUT_S = 10.0
DIMSE_TIMEOUT_S = 60.0
LISTED = 10  # failures and skipped files that a summary names

Progress = Callable[[int, int], None]  # files dealt with, files in all


@dataclass(frozen=True)
class RemoteNode:
    """A peer given on the command line."""

    ae_title: str
    host: str
    port: int
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    dimse_timeout_s: float = DIMSE_TIMEOUT_S
    security: TlsClient | None = None


@dataclass(frozen=True)
class SendFailure:
    """A file that did not arrive; `status` is "none" where no answer came."""

    path: str
    sop_instance_uid: str
    status: str
    reason: str


@dataclass(frozen=True)
class SkippedFile:
    """A file that was not sent, being no DICOM instance."""

    path: str
    reason: str


@dataclass(frozen=True)
class SendReport:
    """What became of every file; `statuses` counts the answers by C-STORE status."""

    peer: str
    files: int
    stored: int
    statuses: dict[str, int]
    failures: tuple[SendFailure, ...]
    skipped: tuple[SkippedFile, ...]

    @property
    def complete(self) -> bool:
        """Whether every DICOM file was stored."""
        return self.stored == self.files

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "complete": self.complete}

    def _reasons(self) -> list[str]:
        """Each reason once: a peer that cannot be reached fails all files alike."""
        files: dict[str, list[str]] = {}
        for one in self.failures:
            files.setdefault(one.reason, []).append(one.path)
        return [
            f"{paths[0]}: {reason}" if len(paths) == 1 else f"{len(paths)} files, first {paths[0]}: {reason}"
            for reason, paths in files.items()
        ]

    def summary(self) -> str:
        """For people: a line, then the failures and the skipped files, a few of each."""
        answers = {
            "no answer" if status == "none" else status: count for status, count in self.statuses.items()
        }
        counted = ", ".join(f"{answer}: {count}" for answer, count in sorted(answers.items()))
        lines = [f"{self.stored} of {self.files} files stored by {self.peer} ({counted or 'no answer'})"]
        lines += _few("not stored", self._reasons())
        lines += _few("skipped", [f"{one.path}: {one.reason}" for one in self.skipped])
        return "\n".join(lines)


def send_folder(
    folder: Path,
    host: str,
    port: int,
    called: str,
    calling: str,
    progress: Progress | None = None,
    *,
    sort: bool = False,
    security: TlsClient | None = None,
) -> SendReport:
    """C-STORE every DICOM file in `folder` and below it, in the order in which the folder lists them.

    Each file goes in its own transfer syntax; nothing is decoded. More kinds of files than one association
    can negotiate (128) take several associations. A file that is refused does not hold up the others.

    Args:
        called, calling: AE titles of the peer and of this client.
        progress: called with the number of files dealt with and of all files.
        sort: send in the order of the file names.
        security: for DICOM over TLS.

    Raises:
        NodeError: the folder is not there or holds no DICOM file.
    """
    peer = RemoteNode(called, host, port, security=security)
    files, skipped = _find_files(folder, sort=sort)
    sending = _Sending(peer, calling, progress or (lambda _done, _total: None), len(files))
    contexts = list(dict.fromkeys(file.context for file in files))
    for start in range(0, len(contexts), MAXIMUM_CONTEXTS):
        wanted = contexts[start : start + MAXIMUM_CONTEXTS]
        sending.send([file for file in files if file.context in wanted], wanted)
    return sending.report(skipped)


@dataclass(frozen=True)
class _File:
    path: Path
    sop_instance_uid: str
    context: Context


class _Sending:
    """The associations of one call, and what was answered on them."""

    def __init__(self, peer: Peer, calling: str, progress: Progress, total: int) -> None:
        self._peer = peer
        self._calling = calling
        self._progress = progress
        self._total = total
        self._stored = 0
        self._statuses: Counter[str] = Counter()
        self._failures: list[SendFailure] = []
        progress(0, total)

    def send(self, files: Sequence[_File], contexts: Sequence[Context]) -> None:
        """Send the files over one association."""
        try:
            with associate(self._peer, self._calling, contexts) as association:
                self._send_all(association, files)
        except AssociationFailed as error:
            for file in files:
                self._fail(file, "none", str(error))

    def _send_all(self, association: Association, files: Sequence[_File]) -> None:
        accepted = accepted_contexts(association)
        ended = False
        for number, file in enumerate(files):
            if file.context not in accepted:
                self._fail(file, "none", f"refused: {describe_context(file.context)}")
            elif ended:
                self._fail(file, "none", "not sent: the association ended")
            else:
                ended = not self._send_one(association, file, number)

    def _send_one(self, association: Association, file: _File, number: int) -> bool:
        """Whether the association can take more."""
        try:
            answer = store_file(association, file.path, number)
        except OSError as error:
            self._fail(file, "none", f"cannot be read: {error.strerror or error}")
            return True
        self._note(file, answer)
        return answer.status is not None

    def report(self, skipped: Sequence[SkippedFile]) -> SendReport:
        return SendReport(
            peer=describe(self._peer),
            files=self._total,
            stored=self._stored,
            statuses=dict(self._statuses),
            failures=tuple(self._failures),
            skipped=tuple(skipped),
        )

    def _note(self, file: _File, answer: StoreAnswer) -> None:
        if not answer.stored:
            self._fail(file, answer.code, answer.meaning)
            return
        self._stored += 1
        self._statuses[answer.code] += 1
        self._report_progress()

    def _fail(self, file: _File, status: str, reason: str) -> None:
        self._statuses[status] += 1
        self._failures.append(SendFailure(str(file.path), file.sop_instance_uid, status, reason))
        self._report_progress()

    def _report_progress(self) -> None:
        self._progress(self._stored + len(self._failures), self._total)


def _find_files(folder: Path, *, sort: bool) -> tuple[list[_File], list[SkippedFile]]:
    found: list[_File] = []
    skipped: list[SkippedFile] = []
    for path in _walk(folder, sort=sort):
        try:
            found.append(_read_kind(path))
        except (InvalidDicomError, AttributeError, OSError, ValueError) as error:
            skipped.append(SkippedFile(str(path), str(error)))
    if not found:
        raise NodeError("no DICOM file is there", where=str(folder), advice="give a folder of DICOM files")
    return found, skipped


def _walk(folder: Path, *, sort: bool) -> Iterator[Path]:
    if folder.is_file():
        return iter([folder])
    files = (path for path in folder.rglob("*") if path.is_file())
    return iter(sorted(files)) if sort else files


def _read_kind(path: Path) -> _File:
    meta = read_file_meta_info(path)
    if meta.MediaStorageSOPClassUID == MediaStorageDirectoryStorage:
        raise ValueError("a DICOMDIR is not sent")
    context = str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)
    return _File(path, str(meta.MediaStorageSOPInstanceUID), context)


def _few(title: str, lines: list[str]) -> list[str]:
    more = [f"  and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    return [f"{title}: {len(lines)}", *(f"  {printable(line)}" for line in lines[:LISTED]), *more] if lines else []
