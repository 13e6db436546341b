"""The codes of refusals and what they say."""

import pickle
import re

import pytest

from dicom_node.errors import NodeError
from dicom_node.reasons import REASONS, NotAnalysable, Reason
from dicom_node.settings import Settings


def test_every_code_has_one_explanation() -> None:
    assert set(REASONS) == set(Reason)
    assert all(explained.code is code for code, explained in REASONS.items())


@pytest.mark.parametrize("reason", Reason)
def test_codes_and_sentences_have_the_form_that_readers_expect(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason)
    assert REASONS[reason].text.endswith(".") and REASONS[reason].advice.endswith(".")


def test_what_is_no_head_cta_is_told_from_what_cannot_be_trusted() -> None:
    assert REASONS[Reason.IMAGE_TYPE_LOCALIZER].kind == "not-a-candidate"
    assert REASONS[Reason.NO_CONTRAST].kind == "not-a-candidate"
    assert REASONS[Reason.MISSING_SLICE].kind == "defect"
    assert REASONS[Reason.LOSSY_COMPRESSION].kind == "defect"
    assert REASONS[Reason.ABANDONED].kind == "given-up"


def test_refusal_says_code_sentence_detail_and_advice() -> None:
    refusal = NotAnalysable(Reason.TOO_FEW_SLICES, "4 slices, at least 60", where="1.2.3")
    assert isinstance(refusal, NodeError)
    assert (refusal.reason, refusal.detail, refusal.retry_helps) == (
        "too-few-slices",
        "4 slices, at least 60",
        False,
    )
    for part in ("1.2.3", "too-few-slices", "too few slices for a head", "4 slices", "minimum_slices"):
        assert part in str(refusal)


def test_refusal_crosses_a_process_boundary() -> None:
    refusal = NotAnalysable(Reason.GANTRY_TILT, "14.00 degrees", where="1.2.3")
    copy = pickle.loads(pickle.dumps(refusal))
    assert (copy.reason, copy.detail, copy.where) == (refusal.reason, refusal.detail, refusal.where)


def test_advice_names_only_settings_that_exist() -> None:
    named = {
        (table, key)
        for explained in REASONS.values()
        for table, key in re.findall(r"\[(\w+)\] (\w+)", explained.advice)
    }
    assert len(named) >= 8
    for table, key in named:
        assert hasattr(getattr(Settings(), table), key), f"[{table}] {key}"
