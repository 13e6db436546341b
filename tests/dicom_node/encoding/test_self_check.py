"""The self-check: lets right results pass, and finds those that are damaged, missing, or of other findings."""

from dataclasses import replace

import pytest

from dicom_node.encoding.self_check import check_results
from dicom_node.errors import NodeError
from tests.support.encoded_results import Made, make_results
from tests.support.made_findings import make_findings
from tests.support.result_folder import BLOCKS


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_results(tmp_path_factory.mktemp("source"))


def test_right_results_pass(made: Made) -> None:
    source, findings, objects = made
    check_results(objects, source, findings)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_damaged_file_is_found(made: Made) -> None:
    source, findings, (segmentation, report) = made
    for kept in range(200, len(segmentation.data), 300):
        with pytest.raises(NodeError, match="self-check"):
            check_results([replace(segmentation, data=segmentation.data[:kept]), report], source, findings)
    with pytest.raises(NodeError, match="the bytes cannot be read"):
        check_results([replace(segmentation, data=b"no DICOM"), report], source, findings)


def test_missing_result_is_found(made: Made) -> None:
    source, findings, (_, report) = made
    with pytest.raises(NodeError, match=r"the results are \['sr'\]"):
        check_results([report], source, findings)


def test_other_findings_are_found(made: Made) -> None:
    source, _, objects = made
    other = make_findings(source, [((3, 7), (10, 16), (9, 15)), BLOCKS[1]])
    with pytest.raises(NodeError, match="voxels differ"):
        check_results(objects, source, other)
