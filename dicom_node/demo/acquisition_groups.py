"""The functional groups in which an Enhanced CT image says how it was acquired."""

from typing import Any

from pydicom import Dataset
from pydicom.sr.coding import Code

from dicom_node.demo.series_header import as_item

HEAD_PHANTOM = Code("113690", "DCM", "IEC Head Dosimetry Phantom")  # PS3.16 CID 4052
# A plausible helical head CTA; keyword of the group and its attributes (PS3.3 C.8.15.3).
_GROUPS: dict[str, dict[str, Any]] = {
    "CTAcquisitionTypeSequence": {
        "AcquisitionType": "SPIRAL",
        "ConstantVolumeFlag": "NO",
        "FluoroscopyFlag": "NO",
    },
    "CTAcquisitionDetailsSequence": {
        "RotationDirection": "CW",
        "RevolutionTime": 0.5,
        "SingleCollimationWidth": 0.6,
        "TotalCollimationWidth": 38.4,
        "TableHeight": 150,
        "GantryDetectorTilt": 0,
        "DataCollectionDiameter": 500,
    },
    "CTTableDynamicsSequence": {
        "TableSpeed": 61.44,
        "TableFeedPerRotation": 30.72,
        "SpiralPitchFactor": 0.8,
    },
    "CTGeometrySequence": {
        "DistanceSourceToDetector": 1085.6,
        "DistanceSourceToDataCollectionCenter": 595.0,
    },
    "CTReconstructionSequence": {
        "ReconstructionAlgorithm": "FILTER_BACK_PROJ",
        "ConvolutionKernel": "H30",
        "ConvolutionKernelGroup": "SOFT_TISSUE",
        "ReconstructionAngle": 360.0,
        "ImageFilter": "NONE",
    },
    "CTExposureSequence": {
        "ExposureTimeInms": 500.0,
        "XRayTubeCurrentInmA": 300.0,
        "ExposureInmAs": 150.0,
        "ExposureModulationType": "NONE",
        "CTDIvol": 30.0,
    },
    "CTXRayDetailsSequence": {
        "FocalSpots": [0.6],
        "FilterType": "FLAT",
        "FilterMaterial": "ALUMINUM",
    },
}


def build_acquisition_groups(first: Dataset, irradiation_event_uid: str) -> Dataset:
    """Groups that an ORIGINAL frame must have (PS3.3 table A.38-2), the same for all frames.

    first: a single-frame slice of the series.
    """
    groups = Dataset()
    for sequence_keyword, attributes in _GROUPS.items():
        setattr(groups, sequence_keyword, [_item(attributes)])
    groups.CTXRayDetailsSequence[0].KVP = first.KVP
    groups.CTExposureSequence[0].CTDIPhantomTypeCodeSequence = [as_item(HEAD_PHANTOM)]
    diameter = float(first.PixelSpacing[1]) * first.Columns
    reconstruction = groups.CTReconstructionSequence[0]
    reconstruction.ReconstructionDiameter = round(diameter, 3)
    reconstruction.ReconstructionPixelSpacing = [float(spacing) for spacing in first.PixelSpacing]
    centre = [0.0, 0.0, 0.0]
    position = {
        "TablePosition": 0.0,
        "DataCollectionCenterPatient": centre,
        "ReconstructionTargetCenterPatient": centre,
    }
    groups.CTPositionSequence = [_item(position)]
    groups.IrradiationEventIdentificationSequence = [_item({"IrradiationEventUID": irradiation_event_uid})]
    return groups


def _item(attributes: dict[str, Any]) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item
