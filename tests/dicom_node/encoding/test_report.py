"""The SR: what it says about each lesion, about none, and about a series that was not analysed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from dicom_node.encoding.encode_results import encode_results
from dicom_node.encoding.report import encode_refusal, encode_report
from dicom_node.encoding.segmentation import encode_segmentations
from dicom_node.read_series import SourceSeries
from dicom_node.reasons import REASONS, Reason
from dicom_node.settings import ResultsSettings
from tests.support.ct_source import ROOT, CtSource
from tests.support.made_findings import WEIGHTS, make_context, make_findings, read_source

BLOCKS = [((2, 6), (10, 16), (20, 25)), ((8, 9), (1, 4), (2, 5))]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SourceSeries:
    return read_source(tmp_path_factory.mktemp("source"), CtSource())


@pytest.fixture(scope="module")
def report(source: SourceSeries) -> Dataset:
    findings = make_findings(source, BLOCKS)
    return encode_report(
        source, findings, encode_segmentations(source, findings, make_context()), make_context()
    )


def items(dataset: Dataset) -> Iterator[Dataset]:
    for item in dataset.get("ContentSequence") or []:
        yield item
        yield from items(item)


def find(dataset: Dataset, code: str) -> list[Dataset]:
    return [item for item in items(dataset) if item.ConceptNameCodeSequence[0].CodeValue == code]


def groups(document: Dataset) -> list[Dataset]:
    return find(document, "125007")


def text(document: Dataset, code: str) -> str:
    (item,) = [item for item in document.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == code]
    return str(item.TextValue)


def coded(item: Dataset) -> tuple[str, str]:
    value = item.ConceptCodeSequence[0]
    return value.CodeValue, value.CodingSchemeDesignator


def measured(group: Dataset, code: str) -> tuple[float, str]:
    (item,) = find(group, code)
    value = item.MeasuredValueSequence[0]
    return float(value.NumericValue), value.MeasurementUnitsCodeSequence[0].CodeValue


def test_root_is_an_unverified_measurement_report(report: Dataset) -> None:
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert report.ConceptNameCodeSequence[0].CodeValue == "126000"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    flags = report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag
    assert flags == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
    assert (report.SeriesNumber, report.Modality) == (9802, "SR")


def test_a_group_for_each_lesion_with_its_measurements(report: Dataset) -> None:
    first, second = groups(report)
    assert [group.ContentTemplateSequence[0].TemplateIdentifier for group in (first, second)] == [
        "1411",
        "1411",
    ]
    # 4 x 6 x 5 voxels less one, of 0.6 x 0.5 x 0.5 mm: 119 x 0.15 mm3.
    assert measured(first, "118565006") == (17.85, "mm3")
    # Diagonal of 2.4 x 3.0 x 2.5 mm.
    assert measured(first, "L0JK") == (4.58, "mm")
    assert measured(first, "SCORE-MEAN") == (71.0, "%")
    assert measured(first, "SCORE-MAX") == (93.4, "%")
    assert measured(first, "RISK-CENTRE") == (80.5, "%")
    assert measured(second, "118565006") == (1.2, "mm3")  # 3 x 3 voxels less one


def test_scores_do_not_pass_for_probabilities(report: Dataset) -> None:
    for code in ("SCORE-MEAN", "SCORE-MAX", "RISK-CENTRE"):
        for item in find(report, code):
            assert "not a probability" in item.ConceptNameCodeSequence[0].CodeMeaning
    assert not find(report, "111012")  # Certainty of Finding
    scheme = report.CodingSchemeIdentificationSequence[0]
    assert scheme.CodingSchemeDesignator == "99GLIANET"


def test_group_and_segment_share_their_tracking(source: SourceSeries, report: Dataset) -> None:
    segmentation = encode_segmentations(source, make_findings(source, BLOCKS), make_context())[0].dataset
    for group, segment in zip(groups(report), segmentation.SegmentSequence, strict=True):
        assert find(group, "112039")[0].TextValue == segment.TrackingID
        assert segment.TrackingUID == find(group, "112040")[0].UID
        referenced = find(group, "121191")[0].ReferencedSOPSequence[0]
        assert referenced.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID
        assert referenced.ReferencedSegmentNumber == segment.SegmentNumber


def test_group_names_no_artery(report: Dataset) -> None:
    for group in groups(report):
        assert coded(find(group, "121071")[0]) == ("85659009", "SCT")
        assert coded(find(group, "276214006")[0]) == ("49755003", "SCT")
        assert [coded(site) for site in find(group, "363698007")] == [("88556005", "SCT")]


def test_group_points_at_the_centre_and_its_images(report: Dataset) -> None:
    first = groups(report)[0]
    in_image, centre = find(first, "111010")
    assert (in_image.ValueType, in_image.GraphicType) == ("SCOORD", "POINT")
    assert (centre.ValueType, centre.GraphicType) == ("SCOORD3D", "POINT")
    assert centre.ReferencedFrameOfReferenceUID == f"{ROOT}.5"
    # Voxel (4, 13, 22) from -120.5, -110.25, 33.3 mm in steps of 0.6, 0.5, 0.5 mm.
    assert list(centre.GraphicData) == pytest.approx([-109.5, -103.75, 35.7], abs=1e-4)
    images = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in find(first, "121233")]
    assert images == [f"{ROOT}.3.{number}" for number in (3, 4, 5, 6)]
    # Instance numbers count from the head: image 16 of 20 is the fifth from the foot.
    (place,) = find(first, "121106")
    assert "images 15 to 18, its centre in image 16 of series 4" in place.TextValue
    assert "x -109.5, y -103.8, z 35.7 mm" in place.TextValue


def test_groups_identify_the_algorithm(report: Dataset) -> None:
    for group in groups(report):
        assert find(group, "111001")[0].TextValue == "GLIA-Net"
        assert find(group, "111003")[0].TextValue == "0.1.0"
        assert f"weights SHA-256 {WEIGHTS}; score threshold 0.5" in find(group, "111002")[0].TextValue
        assert coded(find(group, "111000")[0]) == ("123110", "DCM")


def test_plain_text_says_what_a_reader_must_know(report: Dataset) -> None:
    assert text(report, "121111").startswith(
        "2 aneurysm candidates found by the algorithm, the largest, candidate 1, with"
    )
    for part in ("maximum diameter of 4.6 mm", "confirm or reject", "not calibrated", "not name the vessel"):
        assert part in text(report, "121111")
    assert text(report, "121106").startswith("For research use only.")
    analysis = text(report, "121065")
    thresholds = "score threshold 0.5, detection threshold 0.75"
    for part in ("20 slices", "GLIA-Net 0.1.0", WEIGHTS, thresholds, "12 image blocks computed"):
        assert part in analysis


def test_evidence_is_every_analysed_image_and_the_segmentation(source: SourceSeries, report: Dataset) -> None:
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == f"{ROOT}.1"
    listed = [
        item.ReferencedSOPInstanceUID
        for one in study.ReferencedSeriesSequence
        for item in one.ReferencedSOPSequence
    ]
    assert listed[:20] == [f"{ROOT}.3.{number}" for number in range(1, 21)]
    assert len(listed) == 21


def test_multi_frame_images_are_named_by_frame(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource(kind="enhanced"))
    findings = make_findings(source, BLOCKS)
    segmentation = encode_segmentations(source, findings, make_context())
    document = encode_report(source, findings, segmentation, make_context())
    (image,) = find(groups(document)[0], "121233")
    reference = image.ReferencedSOPSequence[0]
    assert [int(number) for number in reference.ReferencedFrameNumber] == [3, 4, 5, 6]
    assert reference.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2.1"
    assert "frames 3 to 6, its centre in frame 5" in find(groups(document)[0], "121106")[0].TextValue


def test_device_observer_is_the_node(report: Dataset) -> None:
    assert coded(find(report, "121005")[0]) == ("121007", "DCM")
    assert find(report, "121012")[0].UID == report.DeviceUID == make_context().device_uid


def test_negative_report_says_absent_and_excludes_nothing(source: SourceSeries) -> None:
    document = encode_report(source, make_findings(source, []), [], make_context())
    (group,) = groups(document)
    assert coded(find(group, "85659009")[0]) == ("272519000", "SCT")
    assert not find(group, "121071")  # no reader may take "Finding: Aneurysm" out of a negative report
    expected = "No aneurysm candidate found by the algorithm; this does not exclude an aneurysm."
    assert text(document, "121111") == expected
    assert text(document, "121106").startswith("For research use only.")
    assert WEIGHTS in find(group, "111002")[0].TextValue


@pytest.mark.parametrize("reason", list(Reason))
def test_refusal_is_undetermined_and_gives_the_reason(source: SourceSeries, reason: Reason) -> None:
    document = encode_refusal(
        source.datasets, reason, "detail 12 mm \u00b1 1", make_context(weights_sha256="")
    )
    (group,) = groups(document)
    assert coded(find(group, "85659009")[0]) == ("373068000", "SCT")
    summary = text(document, "121111")
    assert summary.startswith(
        "This series was not analysed by GLIA-Net: this report neither finds nor excludes an aneurysm. "
    )
    assert REASONS[reason].text in summary
    assert f"[{reason.value}: detail 12 mm ? 1]" in summary
    assert bool(find(document, "130550")) == (REASONS[reason].kind == "defect")
    assert text(document, "121065") == '20 images of series 4 "CTA 0.6 H30f" received, not analysed.'


def test_refusal_names_only_images_of_its_own_series(source: SourceSeries) -> None:
    stranger = Dataset()
    stranger.update(source.datasets[1])
    stranger.SeriesInstanceUID = f"{ROOT}.9"
    stranger.SOPInstanceUID = f"{ROOT}.9.1"
    document = encode_refusal([source.datasets[0], stranger], Reason.MIXED_SERIES, "2 series", make_context())
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence] == [f"{ROOT}.3.1"]


def test_refusal_of_a_single_image_reads_well(source: SourceSeries) -> None:
    document = encode_refusal(source.datasets[:1], Reason.TOO_FEW_SLICES, "1 slice", make_context())
    assert text(document, "121065").startswith("1 image of series 4")


def test_series_list_tells_reports_of_one_study_apart(source: SourceSeries) -> None:
    findings = make_findings(source, [])
    analysed = encode_report(source, findings, [], make_context())
    assert analysed.SeriesDescription == "GLIA-Net report (research), series 4"
    refused = encode_refusal(source.datasets, Reason.NOT_AXIAL, "31 degrees", make_context())
    assert refused.SeriesDescription == "GLIA-Net report (research), series 4 not analysed"
    long = "x" * 55  # with ", series 4" 65 characters, one too many for VR LO
    context = make_context(results=ResultsSettings(report_series_description=long))
    assert encode_report(source, findings, [], context).SeriesDescription == long


def procedure(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([procedure("KCT1", "99KIS", "CTA Sch\u00e4del")], ("KCT1", "99KIS")),
        ([procedure("KCT1", "99KIS", "")], ("25045-6", "LN")),
        (None, ("25045-6", "LN")),
    ],
)
def test_procedure_reported_is_the_sources_own(tmp_path: Path, codes: Any, expected: tuple[str, str]) -> None:
    source = read_source(tmp_path, CtSource(slices=3).with_attributes(ProcedureCodeSequence=codes))
    document = encode_report(source, make_findings(source, []), [], make_context())
    assert [coded(item) for item in find(document, "121058")] == [expected]


def test_procedure_reported_keeps_the_version_of_its_scheme(tmp_path: Path) -> None:
    item = procedure("KCT1", "99KIS", "CTA")
    item.CodingSchemeVersion = "2024"
    source = read_source(tmp_path, CtSource(slices=3).with_attributes(ProcedureCodeSequence=[item]))
    document = encode_report(source, make_findings(source, []), [], make_context())
    assert find(document, "121058")[0].ConceptCodeSequence[0].CodingSchemeVersion == "2024"


def test_single_lesion_and_missing_numbers_read_well(tmp_path: Path) -> None:
    wanted = CtSource(slices=4).with_attributes(
        InstanceNumber=None, SeriesNumber=None, SeriesDescription=None
    )
    source = read_source(tmp_path, wanted)
    findings = make_findings(source, [((1, 2), (3, 6), (3, 6))])
    objects = encode_results(source, findings, make_context()).objects
    assert [encoded.role for encoded in objects] == ["seg", "sr"]
    segmentation = encode_segmentations(source, findings, make_context())
    document = encode_report(source, findings, segmentation, make_context())
    assert text(document, "121111").startswith(
        "1 aneurysm candidate found by the algorithm, with a maximum diameter"
    )
    assert "lies in image 2 of series, at" in find(groups(document)[0], "121106")[0].TextValue
