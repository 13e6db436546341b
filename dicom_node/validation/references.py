"""To which instances an object refers, wherever in its data set it does."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.encoding.copied_attributes import COPIED_ATTRIBUTES

# They refer to what is no stored instance, or to what an earlier version of the object named.
NOT_FOLLOWED = frozenset(
    (*COPIED_ATTRIBUTES, "ReferencedPerformedProcedureStepSequence", "OriginalAttributesSequence")
)


@dataclass(frozen=True)
class Reference:
    """An instance, or frames of it (PS3.3 table 10-3); series and study where the hierarchy above names them."""

    sop_class_uid: str
    sop_instance_uid: str
    frames: tuple[int, ...] = ()
    series_instance_uid: str = ""
    study_instance_uid: str = ""


def list_references(dataset: Dataset, series: str = "", study: str = "") -> Iterator[Reference]:
    """Every reference to a stored instance, in the order of the data set; some come several times."""
    for element in dataset:
        if element.VR != "SQ" or element.keyword in NOT_FOLLOWED:
            continue
        for item in element.value:
            item_series = str(item.get("SeriesInstanceUID") or series)
            item_study = str(item.get("StudyInstanceUID") or study)
            if "ReferencedSOPInstanceUID" in item and _is_stored(str(item.get("ReferencedSOPClassUID", ""))):
                yield reference_of(item, item_series, item_study)
            yield from list_references(item, item_series, item_study)


def reference_of(item: Dataset, series: str = "", study: str = "") -> Reference:
    """The reference that an item with Referenced SOP Class and Instance UID makes."""
    frames = item.get("ReferencedFrameNumber")
    numbers = () if frames is None else (frames,) if isinstance(frames, int | str) else tuple(frames)
    return Reference(
        sop_class_uid=str(item.get("ReferencedSOPClassUID", "")),
        sop_instance_uid=str(item.ReferencedSOPInstanceUID),
        frames=tuple(map(int, numbers)),
        series_instance_uid=series,
        study_instance_uid=study,
    )


def _is_stored(sop_class_uid: str) -> bool:
    """A class of PS3.4 B.5, or one that is not known here; not a procedure step or a study as an object."""
    name = UID(sop_class_uid).name
    return "Storage" in name or name == sop_class_uid
