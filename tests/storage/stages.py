"""The stages of a node played by hand: a short way to bring a series to each state."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from storage.audit import AuditEntry, entries
from storage.database import open_database
from storage.jobs import ResultObject, accept, claim_series, conclude_analysis, publish, refuse
from storage.outbox import claim_delivery, delivered
from storage.reception import ReceivedInstance, record_instances
from storage.rows import DeliveryRow, SeriesRow
from storage.series import complete_series, get_series
from storage.spool import Arrival
from storage.states import SeriesState

START = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
LEASE = timedelta(hours=1)
QUIET = timedelta(seconds=30)
SERIES = "1.2.3"


class Node:
    """The stages of a node, played by hand on a clock that only moves when told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = START
        self.db = open_database(folder / "node.sqlite3")

    def instance(self, number: int, series: str = SERIES, arrival: Arrival = Arrival.NEW) -> ReceivedInstance:
        """Slice `number` of a series, as the spool would have stored it."""
        digest = sha256(f"{series}/{number}/{arrival == Arrival.CONFLICT}".encode()).hexdigest()
        mark = f".{digest[:16]}" if arrival == Arrival.CONFLICT else ""
        return ReceivedInstance(
            study_instance_uid="1.2",
            series_instance_uid=series,
            sop_instance_uid=f"{series}.{number}",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            path=f"{series}/{number}{mark}.dcm",
            sha256=digest,
            size=1000 + number,
            arrival=arrival,
            calling_ae_title="SCANNER",
            address="192.0.2.7",
            received_at=self.now,
        )

    def receive(self, *numbers: int, series: str = SERIES, arrival: Arrival = Arrival.NEW) -> None:
        record_instances(self.db, [self.instance(number, series, arrival) for number in numbers], self.now)

    def series(self, series: str = SERIES) -> SeriesRow:
        return get_series(self.db, series)

    def claim(self, state: SeriesState, owner: str = "worker:1") -> SeriesRow:
        claim = claim_series(self.db, state, owner, self.now, LEASE)
        assert claim is not None
        return claim

    def complete(self, series: str = SERIES) -> None:
        """Two slices came and nothing followed."""
        self.receive(1, 2, series=series)
        self.now += QUIET
        complete_series(self.db, self.now, QUIET)

    def queue(self, series: str = SERIES, urgent: bool = False) -> None:
        self.complete(series)
        accept(self.db, self.claim(SeriesState.COMPLETE), urgent, {"slices": 2}, self.now)

    def analyse(self, series: str = SERIES) -> None:
        self.queue(series)
        claim = self.claim(SeriesState.QUEUED)
        conclude_analysis(self.db, claim, f"{series}/1.npz", "a" * 64, 2, {"seconds": 1.5}, self.now)

    def refuse(self, series: str = SERIES) -> None:
        self.complete(series)
        refuse(self.db, self.claim(SeriesState.COMPLETE), "gantry-tilt", "tilted by 12 degrees", self.now)

    def results(self, claim: SeriesRow) -> list[ResultObject]:
        common = replace(
            ResultObject("", "1.2.840", "", f"{claim.series_instance_uid}.9", "", "b" * 64, 2000),
            sop_instance_uid=f"{claim.series_instance_uid}.{claim.revision}",
        )
        return [
            replace(
                common,
                role=role,
                sop_instance_uid=f"{common.sop_instance_uid}.{number}",
                path=f"{claim.series_instance_uid}/{claim.revision}/{role}.dcm",
            )
            for number, role in enumerate(("seg", "sr"))
        ]

    def publish(self, series: str = SERIES, destinations: tuple[str, ...] = ("PACS", "ARCHIVE")) -> None:
        self.analyse(series)
        claim = self.claim(SeriesState.ANALYSED)
        publish(self.db, claim, self.results(claim), {name: ["seg", "sr"] for name in destinations}, self.now)

    def claim_delivery(self, destination: str = "PACS", owner: str = "router:1:PACS") -> DeliveryRow:
        claim = claim_delivery(self.db, destination, owner, self.now, LEASE)
        assert claim is not None
        return claim

    def deliver(self, destination: str) -> None:
        delivered(self.db, self.claim_delivery(destination), [{"status": 0}], self.now)

    def events(self, event: str | None = None) -> list[AuditEntry]:
        return list(entries(self.db, event=event))

    def event_names(self) -> list[str]:
        return [entry.event for entry in self.events()]
