"""Random walks of three series through the node: late slices, crashes, lost claims and retries in between."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from storage.abandoning import GivingUp, abandon_destination, abandon_series
from storage.audit import AuditEntry, verify
from storage.commitment import (
    CommitmentReport,
    ReportTaken,
    ResendRules,
    take_report,
)
from storage.errors import LostClaim
from storage.jobs import (
    claim_series,
    release_leases,
    retry,
)
from storage.outbox import claim_delivery, deliveries, postpone_delivery
from storage.rows import DeliveryRow, SeriesRow
from storage.series import complete_series, list_series
from storage.spool import Arrival
from storage.states import LEGAL_SERIES_MOVES, OPEN_DELIVERY_STATES, DeliveryState, SeriesState
from tests.storage.stages import LEASE, QUIET
from tests.support.series_walk import DELAY, DESTINATIONS, WalkedNode

SERIES = ("1.1", "1.2", "1.3")
ENDED = {SeriesState.DONE, SeriesState.NOT_ANALYSED}
FORWARD = {
    SeriesState.COMPLETE: ("accept", "refuse"),
    SeriesState.QUEUED: ("conclude", "refuse"),
    SeriesState.ANALYSED: ("publish", "publish nothing"),
    SeriesState.REFUSED: ("publish", "publish nothing"),
}
ANYWHERE = ("renew", "give back", "postpone", "use up", "fail")


class SeriesWalk(WalkedNode):
    """Each rule is what one process does in one transaction; claims are kept, also those that are lost."""

    @initialize()
    def start(self) -> None:
        self.open_node()
        self.claims: list[SeriesRow] = []
        self.sendings: list[DeliveryRow] = []
        self.slices: Counter[str] = Counter()
        self.seen: dict[str, SeriesRow] = {}
        self.run_to_delivery(SERIES[0])

    @rule(series=st.sampled_from(SERIES), arrival=st.sampled_from(Arrival))
    def arrive(self, series: str, arrival: Arrival) -> None:
        if arrival == Arrival.NEW:
            self.slices[series] += 1
        elif self.slices[series] == 0:
            return
        self.node.receive(self.slices[series], series=series, arrival=arrival)

    @rule(series=st.sampled_from(SERIES))
    def arrive_again(self, series: str) -> None:
        if self.slices[series]:
            before = self.everything()
            self.node.receive(self.slices[series], series=series)
            assert self.everything() == before

    @rule()
    def fall_quiet(self) -> None:
        self.node.now += QUIET
        complete_series(self.node.db, self.node.now, QUIET)

    @rule(state=st.sampled_from(list(FORWARD)))
    def claim(self, state: SeriesState) -> None:
        claim = claim_series(self.node.db, state, self.new_owner("worker"), self.node.now, LEASE)
        if claim is not None:
            self.claims.append(claim)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def use_claim(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        self.use(claim, data.draw(st.sampled_from(FORWARD[claim.state] + ANYWHERE)))

    @rule(series=st.sampled_from(SERIES))
    def run_to_delivery(self, series: str) -> None:
        """A slice comes, and all goes well until the results are in the outbox."""
        self.arrive(series, Arrival.NEW)
        self.leases_expire()
        self.fall_quiet()
        for state in (SeriesState.COMPLETE, SeriesState.QUEUED, SeriesState.ANALYSED):
            claim = claim_series(self.node.db, state, self.new_owner("w"), self.node.now, LEASE)
            if claim is not None:
                self.use(claim, FORWARD[state][0])
        self.seen = {row.series_instance_uid: row for row in list_series(self.node.db)}

    @rule(destination=st.sampled_from(DESTINATIONS))
    def claim_sending(self, destination: str) -> None:
        owner = self.new_owner("router")
        claim = claim_delivery(self.node.db, destination, owner, self.node.now, LEASE)
        if claim is not None:
            self.sendings.append(claim)

    @precondition(lambda self: self.sendings)
    @rule(data=st.data(), answer=st.sampled_from(["taken", "stored", "no answer", "never an answer"]))
    def send(self, data: st.DataObject, answer: str) -> None:
        claim = data.draw(st.sampled_from(self.sendings))
        held = self.holds(claim)
        before = deliveries(self.node.db, claim.series_id), list_series(self.node.db)
        try:
            if answer in ("taken", "stored"):
                self.go_on(claim, answer)
            else:
                attempts = 1 if answer == "never an answer" else 10**6
                postpone_delivery(self.node.db, claim, answer, DELAY, attempts, self.node.now)
            assert held
        except LostClaim:
            assert not held
            assert (deliveries(self.node.db, claim.series_id), list_series(self.node.db)) == before

    @rule(destination=st.sampled_from(DESTINATIONS))
    def store_and_ask(self, destination: str) -> None:
        """What is due to a destination goes as far as it can without a report."""
        self.leases_expire()
        for _ in range(2 * len(SERIES)):
            claim = claim_delivery(self.node.db, destination, self.new_owner("router"), self.node.now, LEASE)
            if claim is not None:
                self.go_on(claim, "stored")

    @precondition(lambda self: self.transactions)
    @rule(data=st.data(), kept=st.integers(0, 2), tries=st.sampled_from([1, 10**6]))
    def report(self, data: st.DataObject, kept: int, tries: int) -> None:
        """At any time, and more than once."""
        uid, claim = data.draw(st.sampled_from(self.transactions))
        before = deliveries(self.node.db, claim.series_id), list_series(self.node.db)
        committed = {one.sop_instance_uid: one.sop_class_uid for one in claim.objects[:kept]}
        said = CommitmentReport(uid, "PACS", "192.0.2.9", committed, {})
        rules = ResendRules(tries, lambda _attempts: DELAY)
        taken = take_report(self.node.db, said, DESTINATIONS, rules, self.node.now)
        after = deliveries(self.node.db, claim.series_id), list_series(self.node.db)
        assert taken in (ReportTaken.COUNTED, ReportTaken.LATE)
        assert (after == before) == (taken == ReportTaken.LATE)
        if taken == ReportTaken.COUNTED:
            moved = next(one for one in after[0] if one.id == claim.id)
            assert (moved.state == DeliveryState.DELIVERED) == (not moved.outstanding)

    @rule(crashed=st.booleans(), kind=st.sampled_from(["worker:", "router:", None]))
    def processes_end(self, crashed: bool, kind: str | None) -> None:
        again = ResendRules(48, lambda _attempts: DELAY)
        release_leases(self.node.db, kind, self.node.now, crashed, resend=again)

    @rule()
    def leases_expire(self) -> None:
        self.node.now += LEASE

    @rule(series=st.one_of(st.none(), st.sampled_from(SERIES)))
    def retry(self, series: str | None) -> None:
        retry(self.node.db, series, "admin", self.node.now)

    @rule(series=st.sampled_from(SERIES), destination=st.sampled_from([None, *DESTINATIONS]))
    def give_up(self, series: str, destination: str | None) -> None:
        before = self.everything()
        giving_up = GivingUp("admin", self.node.now, "gone", "abandoned", "conflicting")
        if destination is not None:
            done = abandon_destination(self.node.db, destination, series, giving_up)
        elif self.slices[series]:
            done = abandon_series(self.node.db, series, giving_up)
        else:
            return
        assert bool(done) == (self.everything() != before)

    @precondition(lambda self: self.slices)
    @rule()
    def run_to_the_end(self) -> None:
        """From wherever it stands, the node brings every series to its end."""
        self.retry(None)
        for _ in range(len(FORWARD) * 3):
            self.leases_expire()
            self.fall_quiet()
            for state, (step, _other) in FORWARD.items():
                for _series in SERIES:
                    claim = claim_series(self.node.db, state, self.new_owner("w"), self.node.now, LEASE)
                    if claim is not None:
                        self.use(claim, step)
            for destination in DESTINATIONS * len(SERIES):
                claim_of = claim_delivery(self.node.db, destination, "r", self.node.now, LEASE)
                if claim_of is not None:
                    self.go_on(claim_of, "taken")
            self.retry(None)
        assert {row.state for row in list_series(self.node.db)} <= ENDED
        self.seen = {row.series_instance_uid: row for row in list_series(self.node.db)}

    @invariant()
    def moves_are_legal(self) -> None:
        if not hasattr(self, "node"):
            return
        for row in list_series(self.node.db):
            before = self.seen.get(row.series_instance_uid)
            if before is not None and before.state != row.state:
                assert row.state in LEGAL_SERIES_MOVES[before.state]
                assert row.revision == before.revision + (row.state == SeriesState.RECEIVING)
            elif before is not None:
                assert row.revision == before.revision
            self.seen[row.series_instance_uid] = row
            assert row.instance_count == self.slices[row.series_instance_uid]

    @invariant()
    def deliveries_fit_the_series(self) -> None:
        if not hasattr(self, "node"):
            return
        for row in list_series(self.node.db):
            sent = deliveries(self.node.db, row.id)
            states = Counter(one.state for one in sent if one.revision == row.revision)
            under_way = sum(states[state] for state in OPEN_DELIVERY_STATES)
            assert all(one.state not in OPEN_DELIVERY_STATES for one in sent if one.revision < row.revision)
            given_up = [one.detail["revision"] for one in self.node.events("delivery-abandoned") if is_of(one, row)]
            assert states[DeliveryState.WITHDRAWN] == given_up.count(row.revision)
            if row.state == SeriesState.DELIVERING:
                assert under_way >= 1
            elif row.state == SeriesState.FAILED and row.failed_from == SeriesState.DELIVERING:
                assert under_way == 0
                assert states[DeliveryState.FAILED] >= 1
            elif row.state == SeriesState.DONE:
                assert set(states) <= {"DELIVERED", "WITHDRAWN"}
            else:
                assert under_way == states[DeliveryState.FAILED] == 0

    @invariant()
    def one_set_of_results_a_revision(self) -> None:
        if not hasattr(self, "node"):
            return
        published = Counter(
            (entry.series_instance_uid, entry.detail["revision"])
            for entry in self.node.events("results-published")
        )
        assert all(count == 1 for count in published.values())

    @invariant()
    def the_chain_holds(self) -> None:
        if hasattr(self, "node"):
            assert verify(self.node.db).ok


def is_of(entry: AuditEntry, row: SeriesRow) -> bool:
    return entry.series_instance_uid == row.series_instance_uid


@pytest.mark.timeout(120)
def test_no_illegal_state_is_ever_reached(new_database: Path) -> None:
    SeriesWalk.database = new_database
    run_state_machine_as_test(
        SeriesWalk,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
