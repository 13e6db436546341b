"""A CT series of a patient who can be recognised everywhere, and its segmentation, as DICOM files."""

import gzip
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom
import numpy as np
from highdicom.seg import SegmentationTypeValues
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code

from dicom_node.dicom_file import read_headers
from dicom_node.read_series import SourceSeries, inspect_series
from dicom_node.settings import AssemblySettings
from glianet.findings import Findings
from tests.support.ct_source import AXIAL, CtSource, write_ct
from tests.support.head_series import change
from tests.support.made_findings import ANY_CT, Block, encode_segmentation, make_context, make_findings

KEY = b"0123456789abcdef0123456789abcdef"
BLOCKS: list[Block] = [((3, 6), (5, 12), (10, 20)), ((7, 9), (13, 17), (2, 9))]
PATIENT = {
    "PatientName": "Leckmann^Ottilie",
    "PatientID": "QX-77123",
    "PatientBirthDate": "19310412",
    "PatientAge": None,
    "InstitutionName": "Leckmann Hospital",
    "SeriesDescription": "CTA Leckmann QX-77123",
    "ImageComments": "Ottilie, born 19310412",
    "AccessionNumber": "A-4711",
}
"""94 years old at the study of 10 January 2026, a time at which she is to be 90 in what is written."""
TELLING = ("Leckmann", "LECKMANN", "Ottilie", "QX-77123", "19310412", "A-4711", "Sender", "20260110")


@dataclass(frozen=True, eq=False)
class MadeSeries:
    """folder: of the images; source: as the node reads it; findings: what the segmentation in `seg` was made of."""

    folder: Path
    source: SourceSeries
    findings: Findings
    seg: Path


def make_series(
    root: Path, orientation: Sequence[float] = AXIAL, kind: str = "classic", **attributes: object
) -> MadeSeries:
    """Writes root/ct and root/seg.dcm. Voxel (row, column) of every slice holds 3 row + column - 1024 HU."""
    wanted = CtSource(slices=10, rows=24, columns=32, orientation=orientation, kind=kind)
    files = write_ct(root / "ct", wanted.with_attributes(**PATIENT | attributes))
    for file in files:
        change(file, _mark)
    source = inspect_series(read_headers(files), ANY_CT, AssemblySettings(), conflicting=False)
    depth, height, width = source.geometry.shape
    blocks = BLOCKS if width > height else [(k, i, j) for k, j, i in BLOCKS]
    findings = make_findings(source, blocks)
    seg = root / "seg.dcm"
    encode_segmentation(source, findings, make_context()).save_as(seg, enforce_file_format=True)
    return MadeSeries(root / "ct", source, findings, seg)


def make_other_segmentation(
    made: MadeSeries, values: NDArray, kind: SegmentationTypeValues = SegmentationTypeValues.BINARY, segments: int = 1
) -> Path:
    """A segmentation that another program might have made. values: (slices, rows, columns), as the series is stored."""
    description = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"segment {number}",
            segmented_property_category=Code("49755003", "SCT", "Morphologically Abnormal Structure"),
            segmented_property_type=Code("85659009", "SCT", "Aneurysm"),
            algorithm_type="MANUAL",
        )
        for number in range(1, segments + 1)
    ]
    segmentation = highdicom.seg.Segmentation(
        source_images=[dcmread(path) for path in made.source.paths],
        pixel_array=values,
        segmentation_type=kind,
        segment_descriptions=description,
        series_instance_uid="1.2.3.4.5.6.7.8.1",
        series_number=9,
        sop_instance_uid="1.2.3.4.5.6.7.8.2",
        instance_number=1,
        manufacturer="other",
        manufacturer_model_name="other",
        software_versions="1",
        device_serial_number="1",
    )
    path = made.seg.with_name("other.dcm")
    segmentation.save_as(path, enforce_file_format=True)
    return path


def changed_segmentation(made: MadeSeries, how: Callable[[Dataset], None]) -> Path:
    """A changed copy of the segmentation."""
    path = made.seg.with_name("changed.dcm")
    path.write_bytes(made.seg.read_bytes())
    change(path, how)
    return path


def uids_of(folder: Path) -> set[str]:
    """Every UID in the DICOM files below, but those that the standard registers."""
    return {
        str(uid)
        for path in folder.rglob("*.dcm")
        for element in dcmread(path).iterall()
        if element.VR == "UI"
        for uid in (element.value if element.VM > 1 else [element.value])
        if uid and not str(uid).startswith("1.2.840.10008.")
    }


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below, with its bytes, unpacked where they are packed."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        stored = path.read_bytes()
        yield path, gzip.decompress(stored) if path.suffix == ".gz" else stored


def _mark(image: Dataset) -> None:
    """Traces of the patient where no one looks: private, nested, in an overlay, before the header."""
    rows, columns = np.indices((image.Rows, image.Columns))
    image.PixelData = (3 * rows + columns).astype("<u2").tobytes() * int(image.get("NumberOfFrames", 1))
    image.preamble = b"Leckmann".ljust(128, b"\0")
    block = image.private_block(0x0029, "LECKMANN CSA", create=True)
    block.add_new(0x10, "LO", "Ottilie QX-77123")
    item = Dataset()
    item.PatientName, item.PatientID = "Leckmann^Ottilie", "QX-77123"
    item.ReferencedSOPInstanceUID = "1.2.3.4.99.1"
    image.SourceImageSequence = [item]
    image.RequestAttributesSequence = [item]
    image.add_new((0x6000, 0x0010), "US", 8)
    image.add_new((0x6000, 0x0011), "US", 8)
    image.add_new((0x6000, 0x1500), "LO", "Leckmann")
    image.add_new((0x6000, 0x3000), "OW", b"Leckmann")
    image.add_new((0x6000, 0x4000), "LT", "QX-77123")
