"""What went out before about the same series: which reports a new one replaces, and whether it says anything new."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from dicom_node.encoding.context import EarlierReport, ResultContext
from dicom_node.result_kinds import REPORTS
from storage.rows import DeliveryRow, ResultObject


def follow(
    context: ResultContext,
    source_series_uid: str,
    earlier: Sequence[DeliveryRow],
    destinations: Mapping[str, Collection[str]],
) -> ResultContext:
    """`context`, told what its results come after.

    An analysis that is repeated as it was keeps its UIDs. One that comes back after another gets new ones, so that its
    report is the last word again and can name the other as replaced.

    earlier: deliveries of earlier revisions that may have arrived, oldest first. destinations: name of each, and the
    kinds of results that it gets.
    """
    again = replace(context, repetition=_repetition(context, source_series_uid, earlier))
    kinds = {kind for wanted in destinations.values() for kind in wanted if kind in REPORTS}
    replaced = {
        kind: tuple(_replaced_by(kind, again.result_uid(kind, "instance", source_series_uid), earlier, destinations))
        for kind in kinds
    }
    return replace(again, replaced={kind: reports for kind, reports in replaced.items() if reports})


def _repetition(context: ResultContext, source_series_uid: str, earlier: Sequence[DeliveryRow]) -> int:
    """The first number under which nothing went out, or under which the newest results did."""
    newest = max((delivery.revision for delivery in earlier), default=0)

    def is_free(number: int) -> bool:
        candidate = replace(context, repetition=number)
        used = {one.revision for one in earlier if _holds_results_of(one, candidate, source_series_uid)}
        return not used or newest in used

    return next(number for number in count() if is_free(number))


def _holds_results_of(delivery: DeliveryRow, context: ResultContext, source_series_uid: str) -> bool:
    return any(
        one.sop_instance_uid == context.result_uid(one.role, "instance", source_series_uid) for one in delivery.objects
    )


def _replaced_by(
    kind: str, own_uid: str, earlier: Sequence[DeliveryRow], destinations: Mapping[str, Collection[str]]
) -> Iterator[EarlierReport]:
    """The newest reports of the destinations that get `kind`; of any other one for a destination that is new."""
    named = {own_uid}
    for destination in [name for name, wanted in destinations.items() if kind in wanted]:
        own = [delivery for delivery in earlier if delivery.destination == destination]
        for result in _newest_reports(own) or _newest_reports(earlier):
            if result.sop_instance_uid not in named:
                named.add(result.sop_instance_uid)
                yield EarlierReport(result.sop_class_uid, result.sop_instance_uid, result.series_instance_uid)


def _newest_reports(deliveries: Iterable[DeliveryRow]) -> list[ResultObject]:
    """Those of the last delivery that had any."""
    reports = [[one for one in delivery.objects if one.role in REPORTS] for delivery in deliveries]
    return next((found for found in reversed(reports) if found), [])
