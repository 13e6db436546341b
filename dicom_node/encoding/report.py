"""DICOM Structured Report of an analysis, or of why there was none, by PS3.16 TID 1500."""

from collections.abc import Sequence

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node import codes
from dicom_node.encoding import sentences
from dicom_node.encoding.context import MANUFACTURER, RESEARCH_USE, ResultContext
from dicom_node.encoding.lesion_group import algorithm_identification, lesion_group
from dicom_node.encoding.references import list_evidence, predecessors
from dicom_node.encoding.segmentation import EncodedSegmentation
from dicom_node.encoding.source_attributes import identified_images, stand_in
from dicom_node.encoding.stamp import object_arguments, stamp_result
from dicom_node.read_series import SourceSeries
from dicom_node.reasons import REASONS, Reason
from dicom_node.result_kinds import REPORT, REPORTS, ReportForm
from glianet.findings import Findings

Group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations | sr.MeasurementsAndQualitativeEvaluations
DOCUMENTS: dict[ReportForm, type[sr.Comprehensive3DSR | sr.ComprehensiveSR | sr.EnhancedSR]] = {
    "comprehensive-3d": sr.Comprehensive3DSR,  # PS3.3 A.35.13
    "comprehensive": sr.ComprehensiveSR,  # PS3.3 A.35.3
    "enhanced": sr.EnhancedSR,  # PS3.3 A.35.2
}


def encode_report(
    source: SourceSeries,
    findings: Findings,
    segmentations: Sequence[EncodedSegmentation],
    context: ResultContext,
    kind: str = REPORT,
) -> Dataset:
    """The SR of `findings` (PS3.16 TID 1500): a group for each lesion, or "Absent".

    segmentations: those of the same findings that the report refers to; none where there is no lesion. kind: one of
    `result_kinds.REPORTS`.
    """
    form = REPORTS[kind][1]
    if not findings.lesions:
        groups: list[Group] = [
            _outcome_group(source.datasets[0], codes.ABSENT, algorithm_identification(findings), context)
        ]
    else:
        of_lesion = {lesion.number: one for one in segmentations for lesion in one.lesions}
        groups = [
            lesion_group(source, findings, lesion, of_lesion[lesion.number], context, form)
            for lesion in findings.lesions
        ]
    images = [*source.datasets, *(one.dataset for one in segmentations)]
    statements = [
        (codes.SUMMARY, sentences.summary(findings)),
        (codes.COMMENT, RESEARCH_USE),
        (codes.PROCEDURE_DESCRIPTION, sentences.description_of_analysis(source, findings)),
    ]
    document = _encode_document(images, groups, statements, context, kind, analysed=True)
    if findings.lesions:
        document.CodingSchemeIdentificationSequence = [codes.private_coding_scheme()]
    return document


def encode_refusal(
    headers: Sequence[Dataset], reason: Reason, detail: str, context: ResultContext, kind: str = REPORT
) -> Dataset:
    """The SR that says that, and why, a series was not analysed: the outcome is Undetermined.

    Args:
        headers: of one instance or more; those of one series that can be referred to are named as evidence.
        kind: one of `result_kinds.REPORTS`.

    Raises:
        NodeError: no header names its study, series and instance.
    """
    images = identified_images(headers)
    first = images[0]
    statements = [
        (codes.SUMMARY, sentences.refusal(reason, detail, context)),
        (codes.COMMENT, RESEARCH_USE),
        (codes.PROCEDURE_DESCRIPTION, sentences.received(headers, first)),
    ]
    if REASONS[reason].kind == "defect":
        unfit = f"Not fit for this algorithm. {REASONS[reason].text}"
        statements.append((codes.IMAGING_SERIES_QUALITY, sentences.plain(unfit)))
    algorithm = sr.AlgorithmIdentification(
        context.algorithm_name, context.algorithm_version, family=codes.ARTIFICIAL_INTELLIGENCE
    )
    group = _outcome_group(first, codes.UNDETERMINED, algorithm, context)
    return _encode_document(images, [group], statements, context, kind, analysed=False)


def _outcome_group(
    header: Dataset, outcome: Code, algorithm: sr.AlgorithmIdentification, context: ResultContext
) -> sr.MeasurementsAndQualitativeEvaluations:
    """TID 1501: "Aneurysm: Absent" or "Aneurysm: Undetermined" for the series as a whole."""
    series_uid = str(header.SeriesInstanceUID)
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=context.result_uid("series", "tracking", series_uid), identifier="Series as a whole"
        ),
        finding_sites=[sr.FindingSite(codes.CEREBRAL_ARTERY)],
        algorithm_id=algorithm,
        qualitative_evaluations=[sr.QualitativeEvaluation(name=codes.ANEURYSM, value=outcome)],
    )


def _encode_document(
    images: Sequence[Dataset],
    groups: Sequence[Group],
    statements: Sequence[tuple[Code, str]],
    context: ResultContext,
    kind: str,
    *,
    analysed: bool,
) -> Dataset:
    header, results = images[0], context.results
    replaced = context.replaced.get(kind, ())
    if replaced:
        statements = [*statements, (codes.COMMENT, sentences.REPLACES)]
    content = sr.MeasurementReport(
        observation_context=_observation_context(context),
        procedure_reported=_procedures_reported(header),
        imaging_measurements=groups,
        title=codes.IMAGING_MEASUREMENT_REPORT,
    )
    _insert_statements(content[0].ContentSequence, statements)
    _separate(content[0])
    document = DOCUMENTS[REPORTS[kind][1]](
        evidence=[stand_in(image) for image in images],
        content=content,
        is_complete=True,
        **object_arguments(
            context, header, kind, results.report_series_number, results.report_series_description, analysed=analysed
        ),
    )
    list_evidence(document, images)
    if replaced:
        document.PredecessorDocumentsSequence = predecessors(str(header.StudyInstanceUID), replaced)
    stamp_result(document, header, context)
    return document


def _observation_context(context: ResultContext) -> sr.ObservationContext:
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=context.device_uid,
        name=context.node_ae_title,
        manufacturer_name=MANUFACTURER,
        model_name=context.algorithm_name,
        serial_number=context.node_ae_title,
    )
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=sr.CodedConcept.from_code(codes.DEVICE),
            observer_identifying_attributes=device,
        )
    )


def _procedures_reported(header: Dataset) -> list[Code]:
    """The procedure as the source codes it, else a CT (TID 1500 row 4, CID 100)."""
    coded = [
        Code(
            str(item.CodeValue),
            str(item.CodingSchemeDesignator),
            str(item.CodeMeaning),
            str(item.get("CodingSchemeVersion") or "") or None,
        )
        for item in header.get("ProcedureCodeSequence") or []
        if all(item.get(keyword) for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
    ]
    return coded or [codes.CT_PROCEDURE]


def _insert_statements(items: sr.ContentSequence, statements: Sequence[tuple[Code, str]]) -> None:
    """Put the sentences before the measurements: TID 1500 is extensible, and they are to be read first."""
    first = next(index for index, item in enumerate(items) if item.ValueType == "CONTAINER")
    for offset, (name, text) in enumerate(statements):
        items.insert(first + offset, sr.TextContentItem(name, text, sr.RelationshipTypeValues.CONTAINS))


def _separate(item: Dataset) -> None:
    """Have viewers show the items of a container one by one, not as running text (PS3.3 C.18.8)."""
    if item.ValueType == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
    for child in item.get("ContentSequence") or []:
        _separate(child)
