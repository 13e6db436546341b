"""The codes against PS3.16 as pydicom carries it."""

import pytest
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_node import codes

STANDARD = {
    codes.SPATIAL_CONCEPT: standard.SCT.SpatialAndRelationalConcept,
    codes.HEAD: standard.SCT.Head,
    codes.NO_UNITS: standard.UCUM.NoUnits,
    codes.UNSPECIFIED_CALCULATION: standard.DCM.UnspecifiedMethodOfCalculation,
    codes.SOURCE_OF_PROCESSING: standard.DCM.SourceImageForImageProcessingOperation,
    codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE: standard.SCT.MorphologicallyAbnormalStructure,
    codes.ANEURYSM: standard.SCT.Aneurysm,
    codes.CEREBRAL_ARTERY: standard.SCT.StructureOfCerebralArtery,
    codes.ABSENT: standard.SCT.Absent,
    codes.UNDETERMINED: standard.SCT.Undetermined,
    codes.VOLUME: standard.SCT.VolumeProperty,
    codes.SUM_OF_SEGMENTED_VOXELS: standard.DCM.SumOfSegmentedVoxelMethodForVolume,
    codes.MAXIMUM_DIAMETER: standard.IBSI.Maximum3DDiameterOfAMesh,
    codes.CUBIC_MILLIMETER: standard.UCUM.CubicMillimeter,
    codes.MILLIMETER: standard.UCUM.Millimeter,
    codes.PERCENT: standard.UCUM.Percent,
    codes.CENTER: standard.DCM.Center,
    codes.SUMMARY: standard.DCM.Summary,
    codes.COMMENT: standard.DCM.Comment,
    codes.PROCEDURE_DESCRIPTION: standard.DCM.ProcedureDescription,
    codes.IMAGING_SERIES_QUALITY: standard.DCM.ImagingSeriesQuality,
    codes.IMAGING_MEASUREMENT_REPORT: standard.DCM.ImagingMeasurementReport,
    codes.CT_PROCEDURE: standard.LN.CTUnspecifiedBodyRegion,
    codes.ARTIFICIAL_INTELLIGENCE: standard.DCM.ArtificialIntelligence,
    codes.PROCESSING_EQUIPMENT: standard.DCM.ProcessingEquipment,
    codes.DEVICE: standard.DCM.Device,
}
OWN = {codes.MEAN_SCORE, codes.MAXIMUM_SCORE, codes.REGIONAL_RISK, codes.RISK_MAP}
ALL = [value for value in vars(codes).values() if isinstance(value, Code)]


@pytest.mark.parametrize("code", STANDARD, ids=lambda code: code.meaning)
def test_code_is_the_standards(code: Code) -> None:
    assert code == STANDARD[code]


def test_every_code_is_either_the_standards_or_declared_private() -> None:
    assert set(ALL) == set(STANDARD) | OWN
    assert {code.scheme_designator for code in OWN} == {codes.private_coding_scheme().CodingSchemeDesignator}


@pytest.mark.parametrize("code", ALL, ids=lambda code: code.meaning)
def test_code_fits_its_attributes(code: Code) -> None:
    """Code Value and Coding Scheme Designator are SH (16 characters), Code Meaning is LO (64)."""
    assert len(code.value) <= 16 and len(code.scheme_designator) <= 16 and len(code.meaning) <= 64
    assert code.meaning.isascii()
