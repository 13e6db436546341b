"""A node whose series a test walks through it: what each process does in one transaction, and what it must leave."""

import shutil
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from hypothesis.stateful import RuleBasedStateMachine
from sqlalchemy import text

from storage.audit import verify
from storage.commitment import await_report, begin_request, waive_commitment
from storage.errors import LostClaim
from storage.jobs import accept, conclude_analysis, fail, give_back, postpone, publish, refuse, renew
from storage.outbox import delivered, deliveries, stored
from storage.rows import DeliveryRow, SeriesRow
from storage.series import list_series
from storage.states import DeliveryState
from tests.storage.stages import LEASE, Node

DESTINATIONS = ("PACS", "ARCHIVE")
BOTH = {"PACS": ["seg", "sr"], "ARCHIVE": ["seg", "sr"]}
DELAY = timedelta(seconds=1)


class WalkedNode(RuleBasedStateMachine):
    """A step under a claim that is held does what it says; under one that was lost it changes nothing."""

    database: Path  # an empty, migrated database, set by the test

    def open_node(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="series-walk-"))
        shutil.copy(self.database, self.folder)
        self.node = Node(self.folder)
        raw = self.node.db._engine.raw_connection()
        raw.cursor().execute("PRAGMA synchronous = OFF")
        raw.close()
        self.owners = 0
        self.transactions: list[tuple[str, DeliveryRow]] = []

    def teardown(self) -> None:
        if hasattr(self, "node"):
            self.node.db.close()
            shutil.rmtree(self.folder)

    def use(self, claim: SeriesRow, what: str) -> None:
        held = self.holds(claim)
        before = self.everything()
        try:
            self.steps(claim)[what]()
            assert held
        except LostClaim:
            assert not held
            assert self.everything() == before

    def steps(self, claim: SeriesRow) -> dict[str, Callable[[], None]]:
        db, now = self.node.db, self.node.now
        return {
            "accept": lambda: accept(db, claim, False, {}, now),
            "refuse": lambda: refuse(db, claim, "code", "detail", now),
            "conclude": lambda: conclude_analysis(db, claim, "path", "a" * 64, 0, {}, now),
            "publish": lambda: publish(db, claim, self.node.results(claim), BOTH, now),
            "publish nothing": lambda: publish(db, claim, [], dict.fromkeys(DESTINATIONS, []), now),
            "renew": lambda: renew(db, claim, now, LEASE),
            "give back": lambda: give_back(db, claim, now),
            "postpone": lambda: postpone(db, claim, "error", DELAY, 10**6, now),
            "use up": lambda: postpone(db, claim, "error", DELAY, 1, now),
            "fail": lambda: fail(db, claim, "code", "detail", now),
        }

    def go_on(self, claim: DeliveryRow, answer: str) -> None:
        """Of what is to be sent, and of what is to be asked about."""
        db, now = self.node.db, self.node.now
        if claim.state == DeliveryState.PENDING:
            (delivered if answer == "taken" else stored)(db, claim, [], now)
        elif answer == "taken":
            waive_commitment(db, claim, now)
        else:
            uid = f"2.25.{len(self.transactions) + 1}"
            begin_request(db, claim, uid, now)
            self.transactions.append((uid, claim))
            await_report(db, claim, now + DELAY, now)

    def holds(self, claim: SeriesRow | DeliveryRow) -> bool:
        """Whether the row still stands under the claim's lease; every claim has an owner of its own."""
        table = "series" if isinstance(claim, SeriesRow) else "deliveries"
        owner = text(f"SELECT lease_owner FROM {table} WHERE id = :id")
        with self.node.db.read() as connection:
            return connection.execute(owner, {"id": claim.id}).scalar_one() == claim.lease_owner

    def new_owner(self, kind: str) -> str:
        self.owners += 1
        return f"{kind}:{self.owners}"

    def everything(self) -> tuple[object, ...]:
        rows = list_series(self.node.db)
        return rows, [deliveries(self.node.db, row.id) for row in rows], verify(self.node.db).last_hash
