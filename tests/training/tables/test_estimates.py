"""Which interval a model gets, and which results cannot be compared."""

from dataclasses import replace

import pytest

from tests.training.tables.made_scores import counted_case, made_scores
from training.metrics.bootstrap import bootstrap_figures
from training.results import RunResults
from training.tables.estimates import ReportError, at_institution, estimate_models


def _run(dsc_tp: int, run: str = "1", model: str = "m", dataset: str = "d") -> RunResults:
    return RunResults(model, dataset, run, {}, (counted_case("a", (dsc_tp, 0, 10 - dsc_tp, 90), ((300, True),), 1),))


def test_students_interval_over_two_runs() -> None:
    # DSC 2 * 5 / 15 = 2/3 and 2 * 10 / 20 = 1: mean 5/6, standard error 1/6, t(0.975, 1) = 12.7062.
    (dataset,) = estimate_models([_run(5), _run(10, "2")])
    (model,) = dataset.models
    dsc = model.figures["dsc"]
    assert model.over == "runs" and dsc is not None
    assert (dsc.value, dsc.low, dsc.high) == pytest.approx((5 / 6, 5 / 6 - 12.7062 / 6, 5 / 6 + 12.7062 / 6), abs=1e-4)


def test_one_run_is_bootstrapped() -> None:
    scores = made_scores(6, seed=1)
    (dataset,) = estimate_models([RunResults("m", "d", "1", {}, tuple(scores))])
    assert dataset.models[0].over == "cases" and dataset.models[0].figures == bootstrap_figures(scores)


def test_runs_without_a_value_are_counted() -> None:
    # Nothing is predicted in the first run: its precision is undefined.
    (dataset,) = estimate_models([_run(0), _run(10, "2"), _run(5, "3")])
    (model,) = dataset.models
    assert model.left_out["precision"] == 1 and "recall" not in model.left_out
    precision = model.figures["precision"]
    assert precision is not None and precision.value == 1.0


def test_order_and_grouping() -> None:
    datasets = estimate_models([_run(5, dataset="y"), _run(5, model="n", dataset="y"), _run(5, dataset="x")])
    assert [(one.dataset, [m.model for m in one.models]) for one in datasets] == [("y", ["m", "n"]), ("x", ["m"])]


def test_an_institution_alone() -> None:
    cases = (
        counted_case("a", (5, 0, 5, 90), ((300, True),), 0, institution="A"),
        counted_case("b", (10, 0, 0, 90), ((300, True),), 0, institution="B"),
    )
    (dataset,) = estimate_models([RunResults("m", "d", "1", {}, cases)])
    recall = at_institution(dataset.models[0], "A").figures["recall"]
    assert recall is not None and recall.value == 0.5


def test_refused() -> None:
    with pytest.raises(ReportError, match="no results"):
        estimate_models([])
    with pytest.raises(ReportError, match="m on d, run 1: two files hold this run"):
        estimate_models([_run(5), _run(6)])
    with pytest.raises(ReportError, match="holds no case"):
        estimate_models([replace(_run(5), scores=())])
    with pytest.raises(ReportError, match=r"twice \(a\)"):
        estimate_models([replace(_run(5), scores=_run(5).scores * 2)])
    other_truth = replace(_run(5, "2"), scores=(counted_case("a", (5, 0, 6, 89), ((300, True),), 1),))
    with pytest.raises(ReportError, match="not scored on the same truth: they differ in a"):
        estimate_models([_run(5), other_truth])
    assert len(estimate_models([_run(5), replace(other_truth, dataset="other")])) == 2


def test_runs_that_were_counted_in_different_ways_are_no_runs_of_one_model() -> None:
    shown = replace(_run(10, "2"), made={"detection_threshold": 0.8})
    with pytest.raises(ReportError, match="detection threshold is 0.8, that of another run None"):
        estimate_models([_run(5), shown])
    mirrored = replace(_run(10, "2"), made={"flips": ["left-right"]})
    with pytest.raises(ReportError, match=r"list of flips is \['left-right'\], that of another run None.*--model"):
        estimate_models([_run(5), mirrored])
    (dataset,) = estimate_models([_run(5), replace(shown, model="m, as the node shows it")])
    assert len(dataset.models) == 2
