"""Where cases come from: the same ones at the same step, however they are made."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.training.made_cases import bright_ball, cube_case
from training.case_sources import (
    MAKERS,
    ManifestSource,
    PhantomSource,
    load_case,
    open_source,
    phantom_maker,
    varied_case,
)
from training.manifest import CasesError, ManifestCase
from training.nifti import write_grid
from training.recipe import DataRecipe
from training.training_case import TrainingCase, case_from_arrays

AFFINE = np.array([[0, 0, 0.5, 0], [0, 0.5, 0, 0], [0.6, 0, 0, 0], [0, 0, 0, 1.0]])


def _small(seed: int) -> TrainingCase:
    """With an aneurysm unless the seed is a multiple of 3."""
    mask = np.zeros((8, 8, 8), bool)
    mask[4, 4, 4] = seed % 3 != 0
    return case_from_arrays(f"phantom {seed}", np.zeros((8, 8, 8), np.int16), mask, seed)


class _Later(ThreadPoolExecutor):
    """Counts what is ordered."""

    def __init__(self) -> None:
        super().__init__(1)
        self.ordered: list[int] = []

    def submit(self, make, seed):  # type: ignore[no-untyped-def,override]
        self.ordered.append(seed)
        return super().submit(make, seed)


def _names(source: PhantomSource, step: int, count: int = 40) -> set[str]:
    rng = np.random.default_rng(1)
    return {source.case(step, rng).name for _ in range(count)}


def test_the_pool_moves_on_with_the_steps_and_those_without_an_aneurysm_are_left_out() -> None:
    with _Later() as executor:
        source = PhantomSource(executor, _small, 100, DataRecipe(pool=3, refresh_every=10))
        assert _names(source, 0) == {"phantom 100", "phantom 101"}  # 102 is a multiple of 3
        assert executor.ordered == [100, 101, 102, 103]
        assert _names(source, 9) == {"phantom 100", "phantom 101"}
        assert _names(source, 10) == {"phantom 101", "phantom 103"}
        assert _names(source, 45) == {"phantom 104", "phantom 106"}


def test_a_source_that_is_opened_at_a_later_step_gives_the_same_cases() -> None:
    recipe = DataRecipe(pool=3, refresh_every=10)
    with _Later() as first, _Later() as second:
        one, other = (PhantomSource(executor, _small, 100, recipe) for executor in (first, second))
        _names(one, 0), _names(one, 31)
        draw = [source.case(45, np.random.default_rng(7)).name for source in (one, other)]
        assert draw[0] == draw[1]


def test_seeds_stay_below_those_reserved() -> None:
    with _Later() as executor:
        source = PhantomSource(executor, _small, 799_999, DataRecipe(pool=2))
        source.case(0, np.random.default_rng(0))
        assert executor.ordered == [799_999, 0, 1]


def test_mistakes_are_remembered_as_long_as_the_case_is_there() -> None:
    with _Later() as executor:
        source = PhantomSource(executor, _small, 100, DataRecipe(pool=1, refresh_every=1))
        source.case(0, np.random.default_rng(0)).mistakes.append((1, 2, 3))
        assert source.remembered() == {"phantom 100": [(1, 2, 3)]}
        again = PhantomSource(executor, _small, 100, DataRecipe(pool=1, refresh_every=1))
        again.remember(source.remembered())
        assert again.case(0, np.random.default_rng(0)).mistakes == [(1, 2, 3)]
        source.case(1, np.random.default_rng(0))
        assert source.remembered() == {}


def test_another_process_makes_the_phantoms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.case_sources.MAKERS", {"varied": cube_case})
    with open_source(DataRecipe(pool=1), seed=2, workers=1) as source:
        assert source.case(0, np.random.default_rng(0)).name == "cube 20000"


def test_one_mixed_phantom_in_four_is_a_standard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.case_sources.standard_case", lambda seed: f"standard {seed}")
    monkeypatch.setattr("training.case_sources.varied_case", lambda seed, *trees: f"varied {seed}")
    made = [MAKERS["mixed"](seed) for seed in range(8, 13)]
    assert made == ["standard 8", "varied 9", "varied 10", "varied 11", "standard 12"]


def test_the_share_of_varied_phantoms_that_have_traced_arteries(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[Path, ...]] = []
    monkeypatch.setattr("training.case_sources.make_varied_phantom", lambda seed, _, trees: given.append(trees))
    monkeypatch.setattr("training.case_sources.case_from_phantom", lambda phantom: phantom)
    for seed in range(400):
        varied_case(seed, (Path("a.swc"),), 0.25)
    assert {tree for trees in given for tree in trees} == {Path("a.swc")}
    assert np.mean([bool(trees) for trees in given]) == pytest.approx(0.25, abs=0.07)
    again, given[:] = given[7], []
    varied_case(7, (Path("a.swc"),), 0.25)
    assert given == [again]


def test_trees_come_from_the_recipes_folder_by_name(tmp_path: Path) -> None:
    for name in ("b.swc", "a.swc", "c.txt"):
        (tmp_path / name).touch()
    make = phantom_maker(DataRecipe(generator="mixed", trees=str(tmp_path), traced_share=0.3))
    assert make.keywords == {"trees": (tmp_path / "a.swc", tmp_path / "b.swc"), "traced_share": 0.3}  # type: ignore[attr-defined]
    with pytest.raises(CasesError, match=r"data.trees.*\n.*there is no tree"):
        phantom_maker(DataRecipe(trees=str(tmp_path / "absent")))


@pytest.fixture
def listed(tmp_path: Path) -> list[ManifestCase]:
    cases = []
    for seed in range(3):
        hu, mask = bright_ball(seed, side=24)
        write_grid(tmp_path / f"{seed}.nii.gz", hu, AFFINE)
        write_grid(tmp_path / f"{seed}-label.nii.gz", mask.astype(np.uint8), AFFINE)
        files = tmp_path / f"{seed}.nii.gz", tmp_path / f"{seed}-label.nii.gz"
        cases.append(ManifestCase(str(seed), *files, patient=str(seed), split="train"))
    return cases


def test_a_manifest_gives_its_files(listed: list[ManifestCase]) -> None:
    source, rng = ManifestSource(listed, cached=2), np.random.default_rng(3)
    cases = {case.name: case for case in (source.case(0, rng) for _ in range(20))}
    assert set(cases) == {"0", "1", "2"}
    hu, mask = bright_ball(1, side=24)
    np.testing.assert_array_equal(cases["1"].hu, hu)
    np.testing.assert_array_equal(cases["1"].labels > 0, mask)


def test_no_more_volumes_stay_in_memory_than_may(listed: list[ManifestCase], monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load(case: ManifestCase) -> TrainingCase:
        loaded.append(case.case)
        return load_case(case)

    monkeypatch.setattr("training.case_sources.load_case", load)
    source = ManifestSource(listed, cached=1)
    for seed in range(12):
        source.case(0, np.random.default_rng(seed))
    drawn = [listed[int(np.random.default_rng(seed).integers(3))].case for seed in range(12)]
    expected = [name for number, name in enumerate(drawn) if number == 0 or name != drawn[number - 1]]
    assert loaded == expected


def test_files_that_do_not_belong_together_are_refused_by_name(listed: list[ManifestCase], tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[0, 3] += 5
    write_grid(tmp_path / "0-label.nii.gz", np.zeros((24, 24, 24), np.uint8), moved)
    with pytest.raises(CasesError, match=r"0: 1 problem\n- image and label lie differently.*cases check"):
        load_case(listed[0])


def test_a_manifest_without_labels_cannot_be_trained_on() -> None:
    with pytest.raises(CasesError, match='no case of the split "train" has a label'):
        ManifestSource([ManifestCase("a", Path("a.nii"), None, "p")], cached=1)


def test_an_order_that_fails_is_told_at_the_case() -> None:
    class Failing:
        def submit(self, make, seed):  # type: ignore[no-untyped-def]
            future: Future[TrainingCase] = Future()
            future.set_exception(MemoryError("no memory"))
            return future

    source = PhantomSource(Failing(), _small, 1, DataRecipe(pool=1))  # type: ignore[arg-type]
    with pytest.raises(MemoryError):
        source.case(0, np.random.default_rng(0))
