"""`dicom-node audit verify`: the log by itself, the log against a signed head, or an export by itself."""

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from dicom_node.clock import Clock, system_clock
from dicom_node.commands.accounts import calling_account
from dicom_node.commands.audit_export import HEAD_SUFFIX
from dicom_node.commands.node_database import open_node_database
from dicom_node.errors import NodeError
from dicom_node.settings import Settings
from dicom_node.signing import is_signed, read_public_key
from storage.audit import Verification, record, verify
from storage.audit_head import LogHead, check_log, check_rows

KEEP = "keep a copy of the storage folder as it is; the rows before it are intact"


@dataclass(frozen=True)
class _SignedHead:
    """A head as it stands in its file, and whether the key signed it."""

    head: LogHead
    signed: bool


def verify_log(
    settings: Settings, against: Path | None, key: Path | None, *, as_json: bool, clock: Clock = system_clock
) -> bool:
    """Recompute every hash, and hold the log against a head that was signed earlier; whether it is intact."""
    earlier = None if against is None else _read_head(against, key)
    db = open_node_database(settings)
    result = verify(db)
    problem = result.problem
    if earlier is not None and result.ok:
        problem = check_log(db, earlier.head) if earlier.signed else _not_signed(against)
    detail = {"rows": result.rows, "against": against and against.name, "problem": problem}
    record(db, "audit-verified", clock(), actor=calling_account(), detail=detail)
    if as_json:
        print(json.dumps({**asdict(result), "ok": problem is None, "problem": problem}))
    else:
        _tell_log(result, problem, earlier)
    return problem is None


def verify_export(file: Path, key: Path | None, *, as_json: bool) -> bool:
    """Check an export, or a head alone, by itself: signature, file, and every row; whether all holds.

    Needs no settings and no database: what the auditor has is enough.
    """
    beside = file if file.suffix == HEAD_SUFFIX else file.with_name(file.name + HEAD_SUFFIX)
    found = _read_head(beside, key)
    problem = None if found.signed else _not_signed(beside)
    if problem is None and file != beside:
        problem = _check_file(file, found.head)
    if as_json:
        print(json.dumps({"ok": problem is None, "problem": problem, "head": asdict(found.head)}))
    elif problem is None:
        _tell_head(found.head)
    else:
        print(f"BROKEN: {problem}")
    return problem is None


def _read_head(path: Path, key: Path | None) -> _SignedHead:
    if key is None:
        advice = (
            "name the public key that the node's administrator gave you; `dicom-node audit key` prints it"
        )
        raise NodeError("a signature proves nothing without the key", where="--key", advice=advice)
    public = read_public_key(key)
    try:
        line, _, rest = path.read_bytes().partition(b"\n")
        signature = base64.b64decode(rest.strip(), validate=True)
    except OSError as error:
        advice = "an export and its .head file belong together: put both into one folder"
        what = f"the signed head cannot be read ({error.strerror})"
        raise NodeError(what, where=str(path), advice=advice) from error
    except binascii.Error:
        signature = b""
    return _SignedHead(LogHead.from_bytes(line, str(path)), is_signed(line, signature, public))


def _not_signed(path: Path | None) -> str:
    return f"{path} was not signed with this key, or was changed since"


def _check_file(file: Path, head: LogHead) -> str | None:
    try:
        with file.open("rb") as stream:
            digest = file_digest(stream, "sha256").hexdigest()
        rows_problem = check_rows(_rows(file), head) if file.suffix == ".jsonl" else None
    except OSError as error:
        raise NodeError(f"cannot be read ({error.strerror})", where=str(file)) from error
    if rows_problem is None and digest != head.file_sha256:
        return f"{file} is not the file that was signed: its SHA-256 is another one"
    return rows_problem


def _rows(file: Path) -> Iterator[Any]:
    """One object a line; None for what is no JSON."""
    with file.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                yield json.loads(line)
            except ValueError:
                yield None


def _tell_log(result: Verification, problem: str | None, earlier: _SignedHead | None) -> None:
    if problem is None:
        print(f"intact: {result.rows} rows, each chained to the one before")
        if earlier is not None and earlier.head.newest is not None:
            print(f"row {earlier.head.newest.number} is the one that was signed on {earlier.head.created_at}")
        print(f"hash of the last row, to be kept elsewhere: {result.last_hash}")
    elif result.ok:
        print(f"BROKEN: {problem}")
    else:
        print(f"BROKEN at row {result.first_bad}: {problem}")
        print(KEEP)


def _tell_head(head: LogHead) -> None:
    period = f"from {head.since or 'the beginning'} to {head.until or 'the end'}"
    print(f"signed by the key, node {head.node}, on {head.created_at} by {head.created_by}")
    if head.first and head.last:
        print(f"intact: {head.rows} rows, {head.first.number} to {head.last.number}, {period}")
    elif head.file_sha256:
        print(f"no rows {period}")
    if head.newest:
        print(f"the log then ended at row {head.newest.number}, hash {head.newest.hash}")
