"""The stages of the node one at a time: a database, a spool, settings and a clock that a test sets."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from dicom_node.assembly import assemble_next
from dicom_node.folders import Folders
from dicom_node.publishing import publish_next
from dicom_node.settings import Settings
from glianet.findings import Findings, Lesion, save_findings
from storage.audit import AuditEntry, entries
from storage.database import Database, open_database
from storage.jobs import claim_series, conclude_analysis
from storage.reception import ReceivedInstance, record_instances
from storage.series import SeriesRow, get_series
from storage.spool import Spool
from storage.states import SeriesState
from tests.support.dicom_network import data_set_of
from tests.support.head_series import HeadSeries, make_head_series

SHAPE = (8, 14, 12)
START = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)
LEASE = timedelta(minutes=2)
WEIGHTS = "ab" * 32


@dataclass
class SetClock:
    """A clock that stands still until it is told to go on."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Pipeline:
    """What the stages need, and each of them as a verb."""

    folders: Folders
    settings: Settings
    db: Database
    clock: SetClock = field(default_factory=SetClock)

    @property
    def spool(self) -> Spool:
        return Spool(self.folders.spool)

    def receive(self, files: Sequence[Path]) -> None:
        """Have the spool and the database take these files, as the receiver does."""
        record_instances(self.db, [self._store(file) for file in files], self.clock())

    def assemble(self) -> bool:
        return assemble_next(self.db, self.spool, self.settings, "router:1:assembly", self.clock)

    def publish(self) -> bool:
        return publish_next(self.db, self.folders, self.settings, "router:1:publishing", self.clock)

    def conclude(self, series: HeadSeries, findings: Findings) -> None:
        """Take the series as analysed with these findings."""
        claim = claim_series(self.db, SeriesState.QUEUED, "worker:1:analysis", self.clock(), LEASE)
        assert claim is not None
        assert claim.series_instance_uid == series.uid
        save_findings(findings, self.folders.findings / "found.npz")
        lesions = len(findings.lesions)
        conclude_analysis(self.db, claim, "found.npz", findings.weights_sha256, lesions, {}, self.clock())

    def analyse(self, series: HeadSeries, findings: Findings) -> None:
        """From the last image that was received to results in the outbox."""
        self.quiet()
        self.assemble()
        self.conclude(series, findings)
        self.publish()

    def quiet(self) -> None:
        """Let the time pass after which a series counts as complete."""
        self.clock.advance(self.settings.assembly.quiet_s)

    def row(self, series: HeadSeries) -> SeriesRow:
        return get_series(self.db, series.uid)

    def audit(self, event: str) -> list[AuditEntry]:
        return list(entries(self.db, event=event))

    def _store(self, file: Path) -> ReceivedInstance:
        header = dcmread(file, stop_before_pixels=True)
        body = data_set_of(file)
        head = file.read_bytes()[: -len(body)]
        stored = self.spool.store(header.SeriesInstanceUID, header.SOPInstanceUID, head, body)
        return ReceivedInstance(
            study_instance_uid=header.StudyInstanceUID,
            series_instance_uid=header.SeriesInstanceUID,
            sop_instance_uid=header.SOPInstanceUID,
            sop_class_uid=header.SOPClassUID,
            transfer_syntax_uid=header.file_meta.TransferSyntaxUID,
            path=stored.path,
            sha256=sha256(body).hexdigest(),
            size=stored.size,
            arrival=stored.arrival,
            calling_ae_title="CT1",
            address="127.0.0.1",
            received_at=self.clock(),
        )


@contextmanager
def open_pipeline(folder: Path, **tables: Any) -> Iterator[Pipeline]:
    """Stages on an empty storage folder; small series pass the selection."""
    selection = {"minimum_slices": 4, "contrast_minimum_volume_ml": 0.0, **tables.pop("selection", {})}
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 4242}
    destination = tables.pop("destination", [pacs])
    settings = Settings.model_validate(
        {"storage": {"folder": folder}, "selection": selection, "destination": destination, **tables}
    )
    folders = Folders(folder)
    folder.mkdir()
    db = open_database(folders.database)
    try:
        yield Pipeline(folders, settings, db)
    finally:
        db.close()


def small_series(folder: Path, name: str = "small", hu: NDArray[np.int16] | None = None) -> HeadSeries:
    """Eight small axial slices with air at the top and noise below: (8, 14, 12) int16 HU."""
    if hu is None:
        hu = np.random.default_rng(5).integers(0, 300, SHAPE).astype(np.int16)
        hu[:, :4] = -1000
    return make_head_series(folder, name, hu=hu, announced=0)


def accepted(pipeline: Pipeline, tmp_path: Path, name: str = "small") -> HeadSeries:
    """A series that waits for its analysis."""
    series = small_series(tmp_path, name)
    pipeline.receive(series.files)
    pipeline.quiet()
    pipeline.assemble()
    return series


def refused(pipeline: Pipeline, tmp_path: Path, *, defect: bool) -> HeadSeries:
    """A series that is too short, or one with a gap."""
    series = small_series(tmp_path)
    pipeline.receive([*series.files[:3], *series.files[4:]] if defect else series.files[:3])
    pipeline.quiet()
    pipeline.assemble()
    return series


def one_lesion(series: HeadSeries) -> Findings:
    """Findings with a block of 2 x 3 x 2 voxels as their only lesion."""
    labels = np.zeros(series.hu.shape, np.uint16)
    box = ((3, 5), (6, 9), (4, 6))
    labels[tuple(slice(*ends) for ends in box)] = 1
    x, y, z = (float(value) for value in (series.affine @ (4, 7, 5, 1))[:3])
    voxel_mm3 = float(abs(np.linalg.det(series.affine[:3, :3])))
    lesion = Lesion(
        number=1,
        voxels=12,
        volume_mm3=12 * voxel_mm3,
        maximum_diameter_mm=5.0,
        centre_index=(4, 7, 5),
        centre_lps_mm=(x, y, z),
        bounding_box=box,
        mean_score=0.75,
        maximum_score=0.9,
        risk=0.5,
    )
    return _findings(series, labels, (lesion,))


def no_lesion(series: HeadSeries) -> Findings:
    """Findings of a negative series."""
    return _findings(series, np.zeros(series.hu.shape, np.uint16), ())


def _findings(series: HeadSeries, labels: NDArray[np.uint16], lesions: tuple[Lesion, ...]) -> Findings:
    return Findings(
        labels=labels,
        affine=series.affine,
        lesions=lesions,
        threshold=0.5,
        detection_threshold=0.75,
        minimum_volume_mm3=5.0,
        minimum_voxels=11,
        step=48,
        exact=False,
        weights_sha256=WEIGHTS,
        algorithm_name="GLIA-Net",
        algorithm_version="0.1.0",
        patches_computed=1,
        patches_skipped=0,
    )
