"""What went out before about the same series: which reports a new one replaces, and whether it says anything new."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from dicom_node.encoding.context import EarlierReport, ResultContext
from dicom_node.reasons import Reason
from dicom_node.result_kinds import REPORTS
from storage.audit import entries
from storage.database import Database
from storage.outbox import earlier_deliveries
from storage.rows import DeliveryRow, ResultObject, SeriesRow

SAYS_NOTHING_OF_EARLIER = frozenset({Reason.IMAGES_DELETED, Reason.ABANDONED})
"""What came is a fragment, or the node failed on it: an earlier report holds for the images that it names."""


@dataclass(frozen=True)
class Earlier:
    """What went out before: `deliveries` of earlier revisions that may have arrived, oldest first.

    of_fragments: revisions that were given up, or refused because images which had been here did not all come again;
    their report says nothing of the whole series, and replaces none.
    """

    deliveries: Sequence[DeliveryRow]
    of_fragments: frozenset[int] = frozenset()


def find_earlier(db: Database, row: SeriesRow) -> Earlier:
    """What went out of the series before this revision of it."""
    refused = entries(db, row.series_instance_uid, "series-refused")
    abandoned = entries(db, row.series_instance_uid, "series-abandoned")
    of_fragments = [one.detail["revision"] for one in refused if one.detail["reason"] == Reason.IMAGES_DELETED]
    of_failures = [one.detail["revision"] for one in abandoned if one.detail.get("refused_as") == Reason.ABANDONED]
    return Earlier(earlier_deliveries(db, row.id, row.revision), frozenset([*of_fragments, *of_failures]))


def follow(
    context: ResultContext,
    source_series_uid: str,
    earlier: Earlier,
    destinations: Mapping[str, Collection[str]],
) -> ResultContext:
    """`context`, told what its results come after.

    An analysis that is repeated as it was keeps its UIDs. One that comes back after another gets new ones, so that its
    report is the last word again and can name the other as replaced. So does one whose earlier results were deleted
    here: their bytes cannot be sent again, and one UID must not stand for two contents.

    destinations: name of each, and the kinds of results that it gets.
    """
    again = replace(context, repetition=_repetition(context, source_series_uid, earlier.deliveries))
    kinds = {kind for wanted in destinations.values() for kind in wanted if kind in REPORTS}
    own = {again.result_uid(kind, "instance", source_series_uid) for kind in kinds}
    replaced = {kind: tuple(_replaced_by(kind, own, earlier, destinations)) for kind in kinds}
    return replace(
        again,
        replaced={kind: reports for kind, reports in replaced.items() if reports},
        replaces_results=_says_something_new(again, source_series_uid, earlier),
    )


def _says_something_new(context: ResultContext, source_series_uid: str, earlier: Earlier) -> bool:
    """Whether what went out last about the whole series was of another analysis."""
    of_whole = [one for one in earlier.deliveries if one.revision not in earlier.of_fragments and one.objects]
    return bool(of_whole) and not _holds_results_of(of_whole[-1], context, source_series_uid)


def _repetition(context: ResultContext, source_series_uid: str, earlier: Sequence[DeliveryRow]) -> int:
    """The first number under which nothing went out, or under which the newest results did, which are here still."""
    newest = max((delivery.revision for delivery in earlier), default=0)

    def is_free(number: int) -> bool:
        candidate = replace(context, repetition=number)
        used = [one for one in earlier if _holds_results_of(one, candidate, source_series_uid)]
        return not used or (any(one.revision == newest for one in used) and all(map(_is_kept, used)))

    return next(number for number in count() if is_free(number))


def _is_kept(delivery: DeliveryRow) -> bool:
    return all(one.purged_at is None for one in delivery.objects)


def _holds_results_of(delivery: DeliveryRow, context: ResultContext, source_series_uid: str) -> bool:
    return any(
        one.sop_instance_uid == context.result_uid(one.role, "instance", source_series_uid) for one in delivery.objects
    )


def _replaced_by(
    kind: str, own: Collection[str], earlier: Earlier, destinations: Mapping[str, Collection[str]]
) -> Iterator[EarlierReport]:
    """The newest reports of the destinations that get `kind`; of any other one for a destination that is new.

    own: UIDs of all reports that are made now, of which none replaces another.
    """
    named = set(own)
    for destination in [name for name, wanted in destinations.items() if kind in wanted]:
        to_it = [delivery for delivery in earlier.deliveries if delivery.destination == destination]
        fragments = earlier.of_fragments
        for result in _newest_reports(to_it, fragments) or _newest_reports(earlier.deliveries, fragments):
            if result.sop_instance_uid not in named:
                named.add(result.sop_instance_uid)
                yield EarlierReport(result.sop_class_uid, result.sop_instance_uid, result.series_instance_uid)


def _newest_reports(deliveries: Sequence[DeliveryRow], of_fragments: frozenset[int]) -> list[ResultObject]:
    """Those of the last delivery that had any; of fragments also those before it, which it left as they were."""
    newest: list[ResultObject] = []
    for delivery in reversed(deliveries):
        reports = [one for one in delivery.objects if one.role in REPORTS]
        newest += reports
        if reports and delivery.revision not in of_fragments:
            break
    return newest
