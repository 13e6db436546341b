"""What an administrator is to look at, in sentences: what `dicom-node status` begins with and a monitor watches."""

from collections.abc import Iterator

from dicom_node.commands.node_state import NodeState
from dicom_node.reasons import Reason
from storage.overview import DefectOverview
from storage.states import SeriesState

_MAY_BE_WRONG = {
    Reason.CHANGED_PATIENT: "came again with other patient data after results went out: "
    "results may stand under a wrong patient",
    Reason.CONFLICTING_INSTANCES: "came again with other images under the same UIDs after results went out: "
    "results may be of wrong images",
}


def attention(state: NodeState) -> list[str]:
    """A sentence for each thing; none where all is well."""
    return [*_of_the_machine(state), *_of_the_series(state), *_of_the_certificates(state)]


def _of_the_machine(state: NodeState) -> Iterator[str]:
    if state.process is None:
        yield "node: not running: nothing is received, analysed or sent"
    for port, why in state.unanswered.items():
        yield f"{port}: the node runs, and nobody answers there as this node: {why}"
    for process, times in state.deaths.items():
        yield f"{process} died {_times(times)} in the last hour"
    if not state.disk.accepting:
        yield f"disk: {state.disk.words}"


def _of_the_series(state: NodeState) -> Iterator[str]:
    failed = state.overview.series[SeriesState.FAILED]
    if failed:
        yield f"series: {failed} failed (`dicom-node status --state failed`)"
    for destination, number in state.orphaned.items():
        yield (
            f"to {destination}: {number} waiting, and no [[destination]] has this name any more: "
            f"give it its table back, or `dicom-node abandon --destination {destination} --because ...`"
        )
    for defect in state.overview.defects:
        if defect.earlier_delivered and defect.reason in _MAY_BE_WRONG:
            yield _doubt(defect)


def _doubt(defect: DefectOverview) -> str:
    return f"series: {defect.earlier_delivered} {_MAY_BE_WRONG[Reason(defect.reason)]} ({defect.reason})"


def _of_the_certificates(state: NodeState) -> Iterator[str]:
    yield from (one.words for one in state.certificates if one.level != "ok")


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
