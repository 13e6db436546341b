"""What arrived in the archive, read back: candidates of SEG and SR together, key images in their order."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from dicom_node.demo.archive_client import received_results, save_pictures
from dicom_node.encoding.encode_results import encode_results
from tests.support.ct_source import CtSource
from tests.support.made_findings import WITH_KEY_IMAGES, make_context, make_findings, read_source

BLOCKS = [((2, 6), (10, 16), (20, 25)), ((8, 9), (1, 4), (2, 5))]


def test_results_are_read_back_and_key_images_become_pictures(tmp_path: Path) -> None:
    source = read_source(tmp_path / "source", CtSource(slices=12, rows=24, columns=30))
    findings = make_findings(source, BLOCKS)
    (tmp_path / "archive").mkdir()
    for encoded in encode_results(source, findings, make_context(), WITH_KEY_IMAGES).objects:
        (tmp_path / "archive" / f"{encoded.sop_instance_uid}.dcm").write_bytes(encoded.data)
    results = received_results(tmp_path / "archive")
    assert (len(results.segmentations), len(results.reports), len(results.key_images)) == (1, 1, 3)
    for candidate, lesion in zip(results.candidates, findings.lesions, strict=True):
        assert candidate.volume_mm3 == pytest.approx(lesion.volume_mm3, abs=0.05)
        assert len(candidate.points_lps_mm) == lesion.voxels
    files = save_pictures(results, tmp_path / "pictures")
    assert [file.name for file in files] == ["key-image-1.png", "key-image-2.png", "key-image-3.png"]
    archived = [dcmread(file) for file in (tmp_path / "archive").glob("*.dcm")]
    by_number = {int(one.InstanceNumber): one for one in archived if one.Modality == "OT"}
    for number, file in enumerate(files, start=1):
        assert np.array_equal(np.asarray(Image.open(file)), by_number[number].pixel_array)
