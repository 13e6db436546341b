from pydicom import Dataset

from dicom_node.settings import SelectionSettings, UrgentRule
from dicom_node.urgency import is_urgent

STROKE = UrgentRule(attribute="StudyDescription", matches="(?i)stroke")
HIGH = UrgentRule(attribute="RequestedProcedurePriority", matches="^HIGH$")


def header(**attributes: str) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_any_matching_rule_makes_a_series_urgent() -> None:
    assert is_urgent(header(StudyDescription="CTA head, Stroke"), [STROKE, HIGH])
    assert is_urgent(header(StudyDescription="CTA head", RequestedProcedurePriority="HIGH"), [STROKE, HIGH])


def test_no_rule_matches() -> None:
    assert not is_urgent(
        header(StudyDescription="CTA head", RequestedProcedurePriority="HIGHER"), [STROKE, HIGH]
    )


def test_an_attribute_that_is_missing_or_empty_matches_nothing() -> None:
    assert not is_urgent(header(), [STROKE, HIGH])
    assert not is_urgent(header(StudyDescription=""), [STROKE])


def test_no_rules_no_urgency() -> None:
    assert not is_urgent(header(StudyDescription="stroke"), [])


def test_the_default_rules() -> None:
    rules = SelectionSettings().urgent
    assert is_urgent(header(StudyDescription="CTA HEAD STAT"), rules)
    assert is_urgent(header(RequestedProcedurePriority="HIGH"), rules)
    assert not is_urgent(header(StudyDescription="CTA head follow-up"), rules)
