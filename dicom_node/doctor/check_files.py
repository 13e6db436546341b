"""Every row has its file, whole, and every file its row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from pynetdicom.dsutils import split_dataset
from sqlalchemy import Table, select, update

from dicom_node.doctor.examination import Examination, Progress
from dicom_node.doctor.verdict import Check, counted
from dicom_node.folders import Folders
from dicom_node.frames import DAMAGED
from glianet.errors import GliaNetError
from glianet.findings import load_findings
from storage.backup import digest_of
from storage.database import Database
from storage.durable import ensure_folder
from storage.errors import StorageError, explained_os_errors
from storage.losses import mark_lost_images
from storage.moves import note
from storage.reception import begin_revision
from storage.rows import SeriesRow, series_row
from storage.schema import instances, results, series
from storage.series import require_series
from storage.states import ENDED_WELL_STATES, Outcome, SeriesState

WHY = "missing or damaged on the disk"
DAMAGED_FOLDER = "damaged"  # below the storage folder; what is put there is nobody's any more


@dataclass
class _Losses:
    """Paths of one series whose files are not there, or are not what they were."""

    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return self.missing + self.damaged


def check_images(db: Database, examination: Examination) -> Check:
    """Images that rows say are here: there, of the right size, and, `deep`, with the right bytes.

    Repair: a damaged file is put aside, and rows without a good file are marked as lost. So the images can be sent
    again, and until then nobody takes the rest for the whole.
    """
    folders, deep = examination.folders, examination.deep
    losses = _examine_images(db, folders.spool, deep, examination.progress)
    how = "there, with the bytes that came" if deep else "there, of the right size"
    if not losses:
        return Check("images", "ok", f"every image is {how}")
    missing = sum(len(one.missing) for one in losses.values())
    damaged = sum(len(one.damaged) for one in losses.values())
    seen = f"{missing} missing, {damaged} damaged, in {len(losses)} series"
    concerned = [f"{uid}: {path}" for uid, one in losses.items() for path in one.paths]
    if not any(folders.spool.glob("*/*.dcm")):
        return Check("images", "error", f"{seen}: no image at all is there; is the disk mounted?").about(concerned)
    if not examination.repair:
        return Check("images", "error", f"{seen}: --repair marks them, so that they can be sent again").about(concerned)
    for uid, lost in losses.items():
        for path in lost.damaged:
            _put_aside(folders, folders.spool / path)
        with db.transaction() as connection:
            row = require_series(connection, uid)
            mark_lost_images(connection, row, lost.paths, WHY, examination.actor, examination.clock())
    said = f"{seen}: marked as lost, damaged files are in {DAMAGED_FOLDER}/; send these series again"
    return Check("images", "repaired", said).about(sorted(losses))


def _examine_images(db: Database, spool: Path, deep: bool, progress: Progress) -> dict[str, _Losses]:
    columns = (series.c.series_instance_uid, instances.c.path, instances.c.size, instances.c.sha256)
    query = select(*columns).join(series, series.c.id == instances.c.series_id).where(instances.c.purged_at.is_(None))
    with db.read() as connection:
        rows = connection.execute(query.order_by(instances.c.id)).all()
    losses: dict[str, _Losses] = {}
    for number, row in enumerate(rows):
        progress("images", number, len(rows))
        file = spool / row.path
        size = _size(file)
        if size is None:
            losses.setdefault(row.series_instance_uid, _Losses()).missing.append(row.path)
        elif size != row.size or (deep and _data_set_digest(file) != row.sha256):
            losses.setdefault(row.series_instance_uid, _Losses()).damaged.append(row.path)
    return {uid: one for uid, one in losses.items() if not _deleted_meanwhile(db, instances, one.paths)}


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return None


def _deleted_meanwhile(db: Database, table: Table, paths: Sequence[str]) -> bool:
    """Whether a running node has deleted the files of this series, and not lost them; it deletes all at once."""
    query = select(table.c.id).where(table.c.path == paths[0], table.c.purged_at.is_not(None))
    with db.read() as connection:
        return connection.execute(query).first() is not None


def _data_set_digest(file: Path) -> str | None:
    """What a row holds is the digest of the data set, without the head that names the sender."""
    try:
        _, offset = split_dataset(file)
        return sha256(file.read_bytes()[offset:]).hexdigest()
    except (*DAMAGED, OSError):
        return None


def check_results(db: Database, examination: Examination) -> Check:
    """Results that rows say are here: there, with the digest that was written.

    Repair: marked as lost; a series that has not ended well is analysed again, and its results keep their UIDs.
    """
    folders = examination.folders
    lost = list(_lost_results(db, folders.results))
    if not lost:
        return Check("results", "ok", "every result is there, as it was written")
    uids = sorted({uid for uid, _, _ in lost})
    seen = f"{counted(len(lost), 'result')} missing or damaged, in {len(uids)} series"
    if not examination.repair:
        return Check("results", "error", f"{seen}: --repair marks them").about([path for _, _, path in lost])
    for uid in uids:
        of_series = [(number, path) for one, number, path in lost if one == uid]
        for _, path in of_series:
            _put_aside(folders, folders.results / path)
        _mark_results(db, examination, uid, [number for number, _ in of_series])
    again = "what was not delivered is analysed again"
    return Check("results", "repaired", f"{seen}: marked as lost; {again}").about(uids)


def _lost_results(db: Database, root: Path) -> Iterator[tuple[str, int, str]]:
    columns = (series.c.series_instance_uid, results.c.id, results.c.path, results.c.sha256)
    query = select(*columns).join(series, series.c.id == results.c.series_id).where(results.c.purged_at.is_(None))
    with db.read() as connection:
        rows = connection.execute(query.order_by(results.c.id)).all()
    for row in rows:
        sound = (root / row.path).is_file() and digest_of(root / row.path) == row.sha256
        if not sound and not _deleted_meanwhile(db, results, [row.path]):
            yield row.series_instance_uid, row.id, row.path


def _mark_results(db: Database, examination: Examination, uid: str, numbers: Sequence[int]) -> None:
    actor, now = examination.actor, examination.clock()
    with db.transaction() as connection:
        row = require_series(connection, uid)
        connection.execute(update(results).where(results.c.id.in_(numbers)).values(purged_at=now))
        note(connection, row, "results-lost", {"results": len(numbers)}, actor=actor, now=now)
        if row.state in (SeriesState.DELIVERING, SeriesState.FAILED):
            begin_revision(connection, row, "series-reopened", {"why": "results lost"}, actor, now)


def check_findings(db: Database, examination: Examination) -> Check:
    """Findings that results are still to be made of can be read; `deep`: those of ended series too."""
    with db.read() as connection:
        of_analysis = series.c.outcome == Outcome.ANALYSED
        wanted = of_analysis & series.c.findings_path.is_not(None) & series.c.results_purged_at.is_(None)
        rows = [series_row(row) for row in connection.execute(select(series).where(wanted))]
    bad = [row for row in rows if not _are_readable(examination, row)]
    if not bad:
        return Check("findings", "ok", "all that are needed can be read")
    uids = [row.series_instance_uid for row in bad]
    waiting = [row for row in bad if row.state not in ENDED_WELL_STATES]
    seen = f"those of {len(bad)} series cannot be read"
    if not waiting:
        said = f"{seen}; their results are not concerned. `dicom-node reanalyse` makes them anew"
        return Check("findings", "warning", said).about(uids)
    if not examination.repair:
        return Check("findings", "error", f"{seen}; --repair has {len(waiting)} of them analysed again").about(uids)
    for row in waiting:
        with db.transaction() as connection:
            why = {"why": "findings lost"}
            begin_revision(connection, row, "series-reopened", why, examination.actor, examination.clock())
    return Check("findings", "repaired", f"{seen}: {len(waiting)} are analysed again").about(uids)


def _are_readable(examination: Examination, row: SeriesRow) -> bool:
    file = examination.folders.findings / str(row.findings_path)
    try:
        if not examination.deep and row.state in ENDED_WELL_STATES:
            return file.is_file()
        load_findings(file)
    except (GliaNetError, OSError):
        return False
    return True


def _put_aside(folders: Folders, file: Path) -> None:
    """A damaged file may still be of use to somebody, and its name must be free for a good one."""
    if not file.exists():
        return
    target = folders.root / DAMAGED_FOLDER / file.relative_to(folders.root)
    ensure_folder(target.parent)
    with explained_os_errors(file):
        if target.exists():
            raise StorageError("a damaged file of this name was put aside before", where=str(target))
        file.rename(target)
