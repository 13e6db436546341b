"""Why a series is set aside as failed: one code for each cause, with what the administrator can do."""

from dataclasses import dataclass
from typing import Literal

from storage.jobs import ATTEMPTS_USED_UP
from storage.outbox import DELIVERY_FAILED
from storage.recovery import TIME_LIMIT, WORKER_CRASHED

CANNOT_COMPUTE = "cannot-compute"
"""Code of a series that was set aside because of the weights, the device or the backend, not because of itself."""


@dataclass(frozen=True)
class FailureReason:
    """What a code means; `dicom-node retry` takes the series up again once the cause is mended."""

    code: str
    text: str
    advice: str
    kind: Literal["failure"] = "failure"


_RETRY = ", then `dicom-node retry`."

FAILURES: dict[str, FailureReason] = {
    failure.code: failure
    for failure in (
        FailureReason(
            ATTEMPTS_USED_UP,
            "Inspection failed five times, encoding three times, or analysis as often as [model] maximum_attempts "
            "allows; the last error is shown.",
            "Mend the cause of the error" + _RETRY,
        ),
        FailureReason(
            CANNOT_COMPUTE,
            "The network cannot be run: weights that are damaged or of another network, or a backend or precision "
            "that is not there; the error says which.",
            "Mend the [model] settings, start the node again" + _RETRY,
        ),
        FailureReason(
            WORKER_CRASHED,
            "The process that analysed it died three times, as for want of memory or because its GPU failed.",
            "Look at the log; give the machine more memory or set [model] device" + _RETRY,
        ),
        FailureReason(
            TIME_LIMIT,
            "Its analysis took longer than [model] maximum_series_s, or encoding results than [node] maximum_step_s; "
            "this was the third death of its process.",
            "Look at the log for where it hung; raise the setting where it is only slow" + _RETRY,
        ),
        FailureReason(
            DELIVERY_FAILED,
            "A destination took the results at none of [delivery] maximum_attempts tries, or did not commit itself to "
            "keep them.",
            "Look at `dicom-node check-config --echo` and the destination's log" + _RETRY,
        ),
    )
}
