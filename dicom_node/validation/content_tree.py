"""The content tree of an SR document: measurement groups, their items and their numbers (PS3.16 TID 1411)."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

GROUP, TRACKING_IDENTIFIER, TRACKING_UID = "125007", "112039", "112040"  # DCM
REFERENCED_SEGMENT, CENTER = "121191", "111010"  # DCM
VOLUMES = ("118565006", "G-D705")  # SCT, and SRT before it
ANEURYSM, ABSENT, UNDETERMINED = "85659009", "272519000", "373068000"  # SCT
MM3 = {"mm3": 1.0, "ml": 1e3, "mL": 1e3, "cm3": 1e3}  # UCUM


@dataclass(frozen=True, eq=False)
class Group:
    """A measurement group: its items, and segments that it refers to: (SOPInstanceUID, number)."""

    name: str
    items: tuple[Dataset, ...]
    segments: tuple[tuple[str, int], ...]

    def find(self, *concepts: str) -> list[Dataset]:
        """The items whose concept name has one of these code values."""
        return [item for item in self.items if concept_of(item) in concepts]


@dataclass(frozen=True)
class Volume:
    """A stated volume in mm3, and by how much rounding may have changed it."""

    mm3: float
    rounding_mm3: float


def list_items(document: Dataset) -> Iterator[Dataset]:
    """Every content item, from the top."""
    for item in document.get("ContentSequence") or []:
        yield item
        yield from list_items(item)


def list_groups(document: Dataset) -> list[Group]:
    """All measurement groups that are about one finding or region."""
    containers = [item for item in list_items(document) if concept_of(item) == GROUP]
    return [_group(item, place) for place, item in enumerate(containers, start=1)]


def concept_of(item: Dataset) -> str:
    """The code value of the concept name; empty where there is none."""
    names = item.get("ConceptNameCodeSequence") or []
    return str(names[0].get("CodeValue", "")) if names else ""


def answers_about(document: Dataset, concept: str) -> list[str]:
    """The code values of the items with this concept name."""
    items = [item for item in list_items(document) if concept_of(item) == concept]
    return [str(item.ConceptCodeSequence[0].CodeValue) for item in items if item.get("ConceptCodeSequence")]


def volumes_of(group: Group) -> list[Volume]:
    """The volumes of a group whose unit is known; rounded by at most half of the last decimal that is written."""
    return [volume for item in group.find(*VOLUMES) for volume in _volumes(item)]


def _group(container: Dataset, place: int) -> Group:
    items = tuple(container.get("ContentSequence") or [])
    names = [str(item.TextValue) for item in items if concept_of(item) == TRACKING_IDENTIFIER and "TextValue" in item]
    references = [
        reference
        for item in items
        if concept_of(item) == REFERENCED_SEGMENT
        for reference in item.get("ReferencedSOPSequence") or []
    ]
    segments = tuple(
        (str(one.ReferencedSOPInstanceUID), number) for one in references for number in _numbers(one)
    )
    return Group(names[0] if names else f"group {place}", items, segments)


def _numbers(reference: Dataset) -> list[int]:
    value = reference.get("ReferencedSegmentNumber")
    values = [] if value is None else [value] if isinstance(value, int | str) else value
    return [int(one) for one in values]


def _volumes(item: Dataset) -> Iterator[Volume]:
    for measured in item.get("MeasuredValueSequence") or []:
        factor = MM3.get(str(measured.MeasurementUnitsCodeSequence[0].CodeValue))
        if factor is None:
            continue
        written = str(measured["NumericValue"].value)
        yield Volume(float(written) * factor, 0.5 * 10.0 ** -_decimals(written) * factor)
        if "FloatingPointValue" in measured:
            yield Volume(float(measured.FloatingPointValue) * factor, 0.5 * 10.0 ** -_decimals(written) * factor)


def _decimals(written: str) -> int:
    """Of a Decimal String (PS3.5 table 6.2-1): "21.45" has 2, "1.5E+2" has -1."""
    digits, _, exponent = written.strip().upper().partition("E")
    return len(digits.partition(".")[2]) - int(exponent or 0)
