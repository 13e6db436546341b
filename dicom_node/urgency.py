"""Which series go first: rules on header attributes."""

import re
from collections.abc import Iterable

from pydicom import Dataset

from dicom_node.frames import DAMAGED
from dicom_node.settings import UrgentRule


def is_urgent(header: Dataset, rules: Iterable[UrgentRule]) -> bool:
    """Whether any rule's attribute is there and matches its regular expression.

    One that cannot be read matches nothing: the series is analysed all the same, in its turn.
    """
    return any(re.search(rule.matches, _text(header, rule.attribute)) for rule in rules)


def _text(header: Dataset, keyword: str) -> str:
    try:
        return str(header.get(keyword, ""))
    except DAMAGED:
        return ""
