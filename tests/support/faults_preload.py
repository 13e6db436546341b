"""Imported once by the process that others are forked from: what each of them would else load for itself."""

from highdicom._standard_utils import is_attribute_in_iod
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

import dicom_node.encoding.encode_results  # noqa: F401
import tests.support.faults_node  # noqa: F401

for sop_class in (SegmentationStorage, Comprehensive3DSRStorage):
    is_attribute_in_iod("PatientName", sop_class)  # reads the tables of PS3.3, which takes seconds
