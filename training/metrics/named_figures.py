"""Every figure of a summary by name, so that tables and intervals go through them alike."""

from training.metrics.case_score import SIZE_NAMES
from training.metrics.summary import Summary

PLAIN = (
    "precision", "recall", "dsc", "hd95_mm", "auc", "ap",
    "target_tp", "target_fp", "target_fn", "target_precision", "target_recall", "fps_per_case", "froc_score",
    "sensitivity", "specificity", "accuracy",
)  # fmt: skip
"""Fields of `Summary` that are figures."""


def named_figures(summary: Summary) -> dict[str, float | None]:
    """`PLAIN` and, for each size class, its recall and false positives a case; None where undefined."""
    figures: dict[str, float | None] = {name: getattr(summary, name) for name in PLAIN}
    for size in SIZE_NAMES:
        figures[recall_of_size(size)] = summary.by_size[size].recall
        figures[fps_of_size(size)] = summary.by_size[size].fps_per_case
    return figures


def recall_of_size(size: str) -> str:
    """Name of the recall of one of `SIZE_NAMES`."""
    return f"recall {size}"


def fps_of_size(size: str) -> str:
    """Name of the false positives a case among cases that have an aneurysm of this size."""
    return f"fps_per_case {size}"
