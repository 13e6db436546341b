"""`dicom-node audit export`, `head`, `key` and `patient`: what an auditor takes away, signed, and whom it is about."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path

from dicom_node.clock import Clock, system_clock
from dicom_node.commands.accounts import calling_account
from dicom_node.commands.node_database import open_node_database
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.patients import DECISIONS, hash_patient, patient_key
from dicom_node.settings import Settings
from dicom_node.signing import fingerprint, public_pem, signing_key
from storage.audit import AuditEntry, entries, newest_entry, record
from storage.audit_export import CountedRows, entries_of_period, write_csv, write_json_lines
from storage.audit_head import LogHead, mark_of
from storage.database import Database
from storage.schema import time_text

WRITERS = {".jsonl": write_json_lines, ".csv": write_csv}
HEAD_SUFFIX = ".head"
ADVICE = "name a file in a folder of yours"


def export_entries(
    settings: Settings, output: Path, since: str | None, until: str | None, *, clock: Clock = system_clock
) -> None:
    """Write the rows of a period to `output`, as its suffix says, and their signed head beside it.

    Raises NodeError where the suffix is unknown, a time is none, or a file is there already or cannot be written.
    """
    if output.suffix not in WRITERS:
        raise NodeError(
            "the file name tells no format", where=str(output), advice="name a .jsonl or .csv file"
        )
    begin, end = _moment(since, "--since"), _moment(until, "--until")
    beside = output.with_name(output.name + HEAD_SUFFIX)
    _refuse_existing(beside)
    db = open_node_database(settings)
    rows = CountedRows(entries_of_period(db, begin, end))
    newest = newest_entry(db)
    digest = _write_rows(rows, output)
    head = _head(settings, clock(), newest, begin, end, rows, digest)
    _sign(settings, head, beside)
    _record(db, "audit-exported", clock(), head, output.name)
    print(f"{rows.count} rows written to {output}, their signed head to {beside}")
    print(
        f"check them with: dicom-node audit verify {output} --key PUBLIC_KEY (`dicom-node audit key` prints it)"
    )


def sign_head(settings: Settings, output: Path, *, clock: Clock = system_clock) -> None:
    """Write the signed head of the whole log, without its rows: small enough to be sent away every night."""
    db = open_node_database(settings)
    newest = newest_entry(db)
    head = _head(settings, clock(), newest, None, None, CountedRows(()), None)
    _sign(settings, head, output)
    _record(db, "audit-head-signed", clock(), head, output.name)
    last = f"row {newest.number}" if newest else "no row"
    print(f"signed up to {last}: {output}")
    print(f"check the log against it with: dicom-node audit verify --against {output} --key PUBLIC_KEY")


def print_key(settings: Settings, output: Path | None) -> None:
    """Print the public key that signs, and its fingerprint; or write it to `output`. Made at the first call."""
    open_node_database(settings).close()  # a key in a folder without a node would be nobody's
    key = signing_key(Folders(settings.storage.folder).signing_key)
    pem = public_pem(key).decode("ascii")
    if output is None:
        print(pem, end="")
    else:
        _write(output, pem.encode("ascii"))
        print(f"public key written to {output}")
    print(f"fingerprint (SHA-256 of the key): {fingerprint(key)}")


def print_patient_hash(settings: Settings, patient_id: str) -> None:
    """Print what stands for this patient in log and messages, and the series; the Patient ID is kept nowhere."""
    db = open_node_database(settings)
    hashed = hash_patient(patient_id, patient_key(Folders(settings.storage.folder).patient_key))
    rows = [row for event in DECISIONS for row in entries(db, event=event)]
    found = {row.series_instance_uid for row in rows if row.detail.get("patient_hash") == hashed}
    print(hashed)
    for series in sorted(filter(None, found)):
        print(f"series {series}")


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise _there_already(path)


def _write_rows(rows: CountedRows, output: Path) -> str:
    """The file's SHA-256. What is there is never overwritten; rows that cannot all be written leave no file."""
    with _explained(output):
        with output.open("x", encoding="utf-8", newline="") as file:
            try:
                WRITERS[output.suffix](rows, file)
            except BaseException:
                output.unlink()
                raise
        with output.open("rb") as written:
            return file_digest(written, "sha256").hexdigest()


def _head(
    settings: Settings,
    now: datetime,
    newest: AuditEntry | None,
    since: datetime | None,
    until: datetime | None,
    rows: CountedRows,
    digest: str | None,
) -> LogHead:
    return LogHead(
        node=settings.node.ae_title,
        created_at=time_text(now),
        created_by=calling_account(),
        since=_text(since),
        until=_text(until),
        rows=rows.count,
        first=mark_of(rows.first),
        previous_hash=rows.first.previous_hash if rows.first else None,
        last=mark_of(rows.last),
        newest=mark_of(newest),
        file_sha256=digest,
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else time_text(moment)


def _sign(settings: Settings, head: LogHead, path: Path) -> None:
    """Two lines: the head, and the signature over the first line without its end, in base64."""
    line = head.to_bytes()
    signature = signing_key(Folders(settings.storage.folder).signing_key).sign(line)
    _write(path, line + b"\n" + base64.b64encode(signature) + b"\n")


def _write(path: Path, data: bytes) -> None:
    with _explained(path), path.open("xb") as file:
        file.write(data)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise _there_already(path) from error
    except OSError as error:
        raise NodeError(f"cannot be written ({error.strerror})", where=str(path), advice=ADVICE) from error


def _there_already(path: Path) -> NodeError:
    return NodeError("this file is there already", where=str(path), advice="name another one; nothing is overwritten")


def _record(db: Database, event: str, now: datetime, head: LogHead, file: str) -> None:
    marks = {"rows": head.rows, "newest": head.newest.number if head.newest else 0}
    detail = {**marks, "since": head.since, "until": head.until, "file": file}
    record(db, event, now, actor=head.created_by, detail=detail)


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise NodeError(
            f"{text!r} is no date or time", where=option, advice="such as 2026-01-31 or 2026-01-31T12:00"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
