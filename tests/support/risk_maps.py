"""Risk maps of small series of every kind, in both forms."""

import numpy as np
from pydicom.uid import ImplicitVRLittleEndian

from dicom_node.encoding.part10 import EncodedObject, to_part10
from dicom_node.encoding.risk_map import encode_risk_map
from dicom_node.read_series import SourceSeries
from dicom_node.result_kinds import RISK_MAP, RISK_MAP_AS_SEGMENTATION
from glianet.findings import Findings
from glianet.scores import RiskGrid
from tests.support.ct_source import FEET_FIRST, OBLIQUE, PRONE, TURNED, CtSource
from tests.support.made_findings import make_context

SIZE = {"slices": 30, "rows": 40, "columns": 48}
SOURCES = {
    "axial": CtSource(**SIZE),
    "oblique": CtSource(**SIZE, orientation=OBLIQUE),
    "prone": CtSource(**SIZE, orientation=PRONE),
    "head to foot": CtSource(**SIZE, orientation=FEET_FIRST),
    "on the side": CtSource(**SIZE, orientation=TURNED),
    "not square": CtSource(slices=17, rows=33, columns=51, spacing=(1.25, 0.4, 0.7)),
    "enhanced": CtSource(**SIZE, kind="enhanced"),
    "legacy": CtSource(**SIZE, kind="legacy", orientation=OBLIQUE),
    "implicit": CtSource(**SIZE, transfer_syntax=ImplicitVRLittleEndian),
    "two slices": CtSource(slices=2, rows=24, columns=30),
}
FORMS = {"parametric map": False, "segmentation": True}
STARTS = ((-90, -82, -70, 0, 12), (-80, -76, -60, 0, 20), (-88, -70, -66, 0, 30))


def made_risk() -> RiskGrid:
    """Windows that begin inside and before the volume, so that neighbouring voxels of the map differ in every axis."""
    return RiskGrid(np.random.default_rng(11).random((5, 5, 5), np.float32), STARTS)


def encode(source: SourceSeries, findings: Findings, risk: RiskGrid, as_segmentation: bool) -> EncodedObject:
    role = RISK_MAP_AS_SEGMENTATION if as_segmentation else RISK_MAP
    dataset = encode_risk_map(source, findings, risk, make_context(), as_segmentation=as_segmentation)
    return to_part10(role, dataset)
