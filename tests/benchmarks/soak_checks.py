"""What must be so after a soak: no instance is lost, and the archive holds one set of results of each series."""

from collections.abc import Sequence

from storage.outbox import deliveries
from storage.series import SeriesRow, get_series, instance_paths, list_series
from storage.states import SeriesState
from tests.support.archive import TestArchive, source_series
from tests.support.faults_processes import SabotagedNode
from tests.support.head_series import HeadSeries, is_kept_whole
from tests.support.node import QUIET_S

RESULTS = ["SEG", "SR"]
REGISTERED_WITHIN_S = 5.0  # from a file to its row: LINGER_S of the registrar, and a commit


def check_nothing_lost(node: SabotagedNode, everything: Sequence[HeadSeries]) -> None:
    rows = {row.series_instance_uid: row for row in list_series(node.database)}
    for series in everything:
        row = rows[series.uid]
        assert (row.state, row.instance_count) == (SeriesState.DONE, len(series.files)), row
        assert is_kept_whole(node.database, node.storage / "spool", series), f"{series.uid} is not what was sent"


def check_results(node: SabotagedNode, archive: TestArchive, everything: Sequence[HeadSeries]) -> list[str]:
    """The archive holds a SEG and an SR of each series, and nothing else; the series of which it holds more, and why.

    More is right only where a series fell silent for so long that it was taken for complete, and then went on: what
    was sent of it by then stays in the archive.
    """
    held: dict[str, dict[str, str]] = {series.uid: {} for series in everything}
    for one in archive.objects():
        held[source_series(one)][str(one.SOPInstanceUID)] = str(one.Modality)
    reopened = []
    for uid, modalities in held.items():
        row = get_series(node.database, uid)
        last, earlier = _sent(node, row)
        there = sorted(modalities.get(one, "absent") for one in last)
        assert there == RESULTS, f"{uid}: {there} in the archive"
        more = modalities.keys() - last
        assert more <= earlier, f"{uid}: {more} in the archive belong to no revision"
        if row.revision > 1:
            silent_s = _silences_s(node, row)
            assert min(silent_s) > QUIET_S - REGISTERED_WITHIN_S, f"{uid} was re-opened after {silent_s} s"
            told = f"{uid}: silent for {max(silent_s):.0f} s, {len(more)} objects were sent before the rest"
            reopened.append(told)
    return reopened


def _sent(node: SabotagedNode, row: SeriesRow) -> tuple[set[str], set[str]]:
    """SOP Instance UIDs of what went out of the last revision, and of those before it."""
    last, earlier = set[str](), set[str]()
    for delivery in deliveries(node.database, row.id):
        uids = last if delivery.revision == row.revision else earlier
        uids.update(one.sop_instance_uid for one in delivery.objects)
    return last, earlier


def _silences_s(node: SabotagedNode, row: SeriesRow) -> list[float]:
    """Seconds between the last instance of what was taken for complete and the first of the rest, by revision."""
    received = [(one.revision, one.received_at) for one in instance_paths(node.database, row.id)]
    silences = []
    for revision in range(2, row.revision + 1):
        before = max(at for number, at in received if number < revision)
        after = min(at for number, at in received if number >= revision)
        silences.append((after - before).total_seconds())
    return silences
