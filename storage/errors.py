"""The errors of storage: each says what, where, whether retrying can help, and what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
NOTHING_CAN_BE_WRITTEN = OUT_OF_SPACE | {errno.EROFS}
ADVICE = {
    errno.EROFS: "the file system is read-only; look for disk errors in the system log and remount it",
    errno.EACCES: "give the account that runs the node write access to this folder",
    errno.EPERM: "give the account that runs the node write access to this folder",
    errno.EIO: "the disk reports errors; look at the system log and replace the disk",
    errno.EMFILE: "raise the limit on open files (ulimit -n, or LimitNOFILE of the service)",
}
OTHER_ADVICE = "look at the system log and at the state of the disk"


class StorageError(Exception):
    """Base of every error that storage raises on purpose."""

    def __init__(self, what: str, *, where: str, retry_helps: bool = False, advice: str = "") -> None:
        self.what = what
        self.where = where
        self.retry_helps = retry_helps
        self.advice = advice
        super().__init__(str(self))

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" - {self.advice}" if self.advice else "")


class DiskFull(StorageError):
    """No space, or no quota, is left where something had to be written."""

    def __init__(self, where: str) -> None:
        super().__init__(
            "no space is left on the disk",
            where=where,
            retry_helps=True,
            advice="free space or move [storage] folder to a larger disk; nothing that was confirmed is lost",
        )


class CorruptDatabase(StorageError):
    """The database file is not what SQLite wrote."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(
            what,
            where=where,
            advice="stop the node, keep a copy of its folder, check the disk, and run `dicom-node doctor`",
        )


class UnreadableRow(StorageError):
    """A row of the audit log is not what this program wrote."""

    def __init__(self, number: int) -> None:
        super().__init__(
            "this row was changed and cannot be read",
            where=f"audit row {number}",
            advice="`dicom-node audit verify` says which rows are intact; keep a copy of the storage folder",
        )


class LostClaim(StorageError):
    """The claimed row moved on meanwhile (re-opened, lease taken over, released); nothing was changed."""

    def __init__(self, where: str) -> None:
        super().__init__("the claim is no longer held; the row has moved on", where=where)


class UnknownSeries(StorageError):
    """No series with this UID was ever received."""

    def __init__(self, series_instance_uid: str) -> None:
        super().__init__(
            "no such series",
            where=f"series {series_instance_uid}",
            advice="`dicom-node status` lists the series",
        )


class AlreadyRunning(StorageError):
    """Another node works on the same folder; `pid` is its supervisor's, where it could be read."""

    def __init__(self, pid: int | None, where: str) -> None:
        self.pid = pid
        owner = "another node" if pid is None else f"another node (process {pid})"
        super().__init__(
            f"{owner} works on this folder",
            where=where,
            retry_helps=True,
            advice="stop the other node, or give this one another [storage] folder",
        )


def is_of_the_disk(error: BaseException | None) -> bool:
    """Whether it came of a disk that takes nothing more: whatever was being worked on is not to blame."""
    while error is not None:
        if isinstance(error, DiskFull) or (isinstance(error, OSError) and error.errno in NOTHING_CAN_BE_WRITTEN):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def explained_os_errors(where: Path) -> Iterator[None]:
    """Raise what the operating system refuses below `where` as DiskFull or StorageError."""
    try:
        yield
    except OSError as error:
        if error.errno in OUT_OF_SPACE:
            raise DiskFull(str(where)) from error
        raise StorageError(
            error.strerror or str(error),
            where=str(where),
            retry_helps=error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM),
            advice=ADVICE.get(error.errno or 0, OTHER_ADVICE),
        ) from error
