"""The coded concepts of the results, each as PS3.16 or SNOMED CT defines it, and the node's own few.

SNOMED CT codes are those that PS3.16 annex D and the context groups named beside them use.
"""

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.coding import Code

# What a lesion is, and where.
MORPHOLOGICALLY_ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")  # CID 7150
SPATIAL_CONCEPT = Code("309825002", "SCT", "Spatial and Relational Concept")  # CID 7150
ANEURYSM = Code("85659009", "SCT", "Aneurysm")  # CID 3810
CEREBRAL_ARTERY = Code("88556005", "SCT", "Cerebral artery")  # no artery is named: the model names none
HEAD = Code("69536005", "SCT", "Head")  # CID 4031
ABSENT = Code("272519000", "SCT", "Absent")  # CID 240
UNDETERMINED = Code("373068000", "SCT", "Undetermined")  # CID 240

# Measurements, their units and their methods.
VOLUME = Code("118565006", "SCT", "Volume")  # CID 7471
SUM_OF_SEGMENTED_VOXELS = Code("126030", "DCM", "Sum of segmented voxel method for volume")  # CID 7474
MAXIMUM_DIAMETER = Code("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh")  # CID 7470
CUBIC_MILLIMETER = Code("mm3", "UCUM", "cubic millimeter")  # CID 7462
MILLIMETER = Code("mm", "UCUM", "millimeter")  # CID 7460
PERCENT = Code("%", "UCUM", "Percent")  # CID 7181
NO_UNITS = Code("1", "UCUM", "no units")  # CID 7181

# Parts of a report.
IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")  # CID 7021
CENTER = Code("111010", "DCM", "Center")  # CID 219
SUMMARY = Code("121111", "DCM", "Summary")
COMMENT = Code("121106", "DCM", "Comment")
PROCEDURE_DESCRIPTION = Code("121065", "DCM", "Procedure Description")
IMAGING_SERIES_QUALITY = Code("130550", "DCM", "Imaging Series Quality")
CT_PROCEDURE = Code("25045-6", "LN", "CT unspecified body region")  # CID 100, in all its editions

# Who made the results.
DEVICE = Code("121007", "DCM", "Device")  # CID 270
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")  # CID 7162
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")  # CID 7005
UNSPECIFIED_CALCULATION = Code("112187", "DCM", "Unspecified method of calculation")
SOURCE_OF_PROCESSING = Code("121322", "DCM", "Source image for image processing operation")  # CID 7202

# The network's scores. 111012 DCM Certainty of Finding would have a viewer show "certainty 93 %" for a number
# that nobody has calibrated; these say in every viewer what they are.
PRIVATE_SCHEME = "99GLIANET"  # PS3.16 section 8.2: private designators begin with 99
MEAN_SCORE = Code("SCORE-MEAN", PRIVATE_SCHEME, "Mean network score (not a probability)")
MAXIMUM_SCORE = Code("SCORE-MAX", PRIVATE_SCHEME, "Maximum network score (not a probability)")
REGIONAL_RISK = Code("RISK-CENTRE", PRIVATE_SCHEME, "Regional score at centre (not a probability)")
RISK_MAP = Code("RISK-MAP", PRIVATE_SCHEME, "Network regional score (not a probability)")


def private_coding_scheme() -> CodingSchemeIdentificationItem:
    """The item of Coding Scheme Identification Sequence that names the private scheme (PS3.3 C.12.1)."""
    return CodingSchemeIdentificationItem(
        designator=PRIVATE_SCHEME,
        name="Scores of the GLIA-Net node",
        responsible_organization="GLIA-Net node project (research)",
    )
