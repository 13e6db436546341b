"""Which series go first: rules on header attributes."""

import re
from collections.abc import Iterable

from pydicom import Dataset

from dicom_node.settings import UrgentRule


def is_urgent(header: Dataset, rules: Iterable[UrgentRule]) -> bool:
    """Whether any rule's attribute is there and matches its regular expression."""
    return any(re.search(rule.matches, str(header.get(rule.attribute, ""))) for rule in rules)
