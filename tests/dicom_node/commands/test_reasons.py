import json

from dicom_node.failures import FAILURES
from dicom_node.reasons import REASONS
from tests.dicom_node.commands.called_node import run


def test_every_code() -> None:
    assert {row["code"] for row in json.loads(run("reasons", "--json").stdout)} == {*REASONS, *FAILURES}


def test_the_code_of_a_failure() -> None:
    shown = run("reasons", "cannot-compute").stdout
    assert "failure" in shown and "The network cannot be run" in shown and "dicom-node retry" in shown


def test_one_code_with_the_name_of_a_table_in_brackets() -> None:
    shown = run("reasons", "too-few-slices").stdout
    assert "not a candidate" in shown
    assert "[selection]" in shown
    assert "missing-slice" not in shown


def test_an_unknown_code() -> None:
    result = run("reasons", "bad-weather")
    assert result.exit_code == 1
    assert "bad-weather: no such reason" in result.stderr
