"""Single-frame CT instances put into one multi-frame instance."""

from collections.abc import Sequence
from typing import Any, Literal

from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from dicom_node.demo.acquisition_groups import build_acquisition_groups
from dicom_node.demo.series_header import BRAIN, as_item
from dicom_node.identifiers import derive_uid

STACK = "1"
IMAGE_TYPE = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]  # PS3.3 C.8.15.3
# What stands in functional groups, or is not part of the multi-frame image.
_PER_SLICE = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SliceLocation",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "KVP",
    "ContrastBolusAgent",
    "ContrastBolusRoute",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionNumber",
    "PixelData",
)
# For the Enhanced Contrast/Bolus module: PS3.16 CID 12, 13 and 11.
_AGENT = Code("109218004", "SCT", "Iohexol")
_INGREDIENT = Code("44588005", "SCT", "Iodine")
_ROUTE = Code("47625008", "SCT", "Intravenous route")


def build_multi_frame(slices: Sequence[Dataset], form: Literal["enhanced", "legacy"], seed: str) -> Dataset:
    """One instance with a frame for each of `slices`, in their order.

    form: an Enhanced CT Image (PS3.3 A.38.1), or a Legacy Converted Enhanced CT Image (A.70).
    """
    first = slices[0]
    image = Dataset()
    image.update({element.tag: element for element in first if element.keyword not in _PER_SLICE})
    image.SOPClassUID = (
        EnhancedCTImageStorage if form == "enhanced" else LegacyConvertedEnhancedCTImageStorage
    )
    image.SOPInstanceUID = derive_uid(seed, "multi-frame")
    image.InstanceNumber = 1
    image.NumberOfFrames = len(slices)
    _describe_image(image, first)
    _add_dimensions(image, derive_uid(seed, "dimensions"))
    image.SharedFunctionalGroupsSequence = [_shared_groups(first, form, seed)]
    image.PerFrameFunctionalGroupsSequence = [
        _frame_groups(slice_, number, form) for number, slice_ in enumerate(slices, start=1)
    ]
    image.PixelData = b"".join(slice_.PixelData for slice_ in slices)
    return image


def _describe_image(image: Dataset, first: Dataset) -> None:
    """Enhanced CT Image and Enhanced Contrast/Bolus modules (PS3.3 C.8.15.2, C.7.6.4b)."""
    image.ImageType = IMAGE_TYPE
    _describe_pixels(image)
    image.AcquisitionDateTime = f"{first.AcquisitionDate}{first.AcquisitionTime}"
    image.AcquisitionDuration = 4.0
    image.AcquisitionNumber = 1
    image.ContentQualification = "RESEARCH"
    image.PresentationLUTShape = "IDENTITY"
    image.AcquisitionContextSequence = []
    agent = as_item(_AGENT)
    agent.ContrastBolusAgentNumber = 1
    agent.ContrastBolusAdministrationRouteSequence = [as_item(_ROUTE)]
    agent.ContrastBolusIngredientCodeSequence = [as_item(_INGREDIENT)]
    agent.ContrastBolusVolume = 70
    agent.ContrastBolusIngredientConcentration = 350
    image.ContrastBolusAgentSequence = [agent]


def _describe_pixels(dataset: Dataset) -> None:
    dataset.PixelPresentation = "MONOCHROME"
    dataset.VolumetricProperties = "VOLUME"
    dataset.VolumeBasedCalculationTechnique = "NONE"


def _add_dimensions(image: Dataset, dimension_organization_uid: str) -> None:
    """Frames are indexed by stack and by position in it (PS3.3 C.7.6.17)."""
    image.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=dimension_organization_uid)]
    image.DimensionIndexSequence = [
        _item(
            DimensionOrganizationUID=dimension_organization_uid,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=0x00209111,
        )
        for pointer in (0x00209056, 0x00209057)
    ]


def _shared_groups(first: Dataset, form: str, seed: str) -> Dataset:
    groups = Dataset()
    groups.PixelMeasuresSequence = [
        _item(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)
    ]
    groups.PlaneOrientationSequence = [_item(ImageOrientationPatient=first.ImageOrientationPatient)]
    groups.FrameAnatomySequence = [_item(FrameLaterality="U", AnatomicRegionSequence=[as_item(BRAIN)])]
    groups.FrameVOILUTSequence = [_item(WindowCenter=first.WindowCenter, WindowWidth=first.WindowWidth)]
    frame_type = _item(FrameType=IMAGE_TYPE)
    _describe_pixels(frame_type)
    groups.CTImageFrameTypeSequence = [frame_type]
    groups.ContrastBolusUsageSequence = [
        _item(
            ContrastBolusAgentNumber=1,
            ContrastBolusAgentAdministered="YES",
            ContrastBolusAgentDetected="YES",
            ContrastBolusAgentPhase="ARTERIAL",
        )
    ]
    if form == "legacy":
        groups.UnassignedSharedConvertedAttributesSequence = [_item(KVP=first.KVP)]
    else:
        groups.update(build_acquisition_groups(first, derive_uid(seed, "irradiation")))
    return groups


def _frame_groups(slice_: Dataset, number: int, form: str) -> Dataset:
    groups = Dataset()
    groups.FrameContentSequence = [
        _item(
            StackID=STACK,
            InStackPositionNumber=number,
            DimensionIndexValues=[1, number],
            FrameAcquisitionNumber=1,
            FrameAcquisitionDateTime=f"{slice_.AcquisitionDate}{slice_.AcquisitionTime}",
            FrameReferenceDateTime=f"{slice_.AcquisitionDate}{slice_.AcquisitionTime}",
            FrameAcquisitionDuration=4000.0,
        )
    ]
    groups.PlanePositionSequence = [_item(ImagePositionPatient=slice_.ImagePositionPatient)]
    groups.PixelValueTransformationSequence = [
        _item(
            RescaleIntercept=slice_.RescaleIntercept,
            RescaleSlope=slice_.RescaleSlope,
            RescaleType=slice_.RescaleType,
        )
    ]
    if form == "legacy":
        groups.UnassignedPerFrameConvertedAttributesSequence = [_item(SliceLocation=slice_.SliceLocation)]
        groups.ConversionSourceAttributesSequence = [
            _item(
                ReferencedSOPClassUID=slice_.SOPClassUID,
                ReferencedSOPInstanceUID=slice_.SOPInstanceUID,
            )
        ]
    return groups


def _item(**attributes: Any) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item
