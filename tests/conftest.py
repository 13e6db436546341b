"""What all tests share.

Where several processes run the tests, each has one core: threads that wait for each other would fight for them.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.certificates import Authority
    from tests.support.ended import Template

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, here and in every child


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> "Template":
    """A storage folder with one series that is DONE, to be copied."""
    from tests.support.ended import make_template

    return make_template(tmp_path_factory.mktemp("done"))


@pytest.fixture
def authority(tmp_path: Path) -> "Authority":
    """A certificate authority of this test's own."""
    from tests.support.certificates import Authority

    return Authority(tmp_path / "pki")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long forms run where they are asked for: `make stress`, which is `pytest -m stress`."""
    if "stress" in config.option.markexpr:
        return
    long_forms = [item for item in items if item.get_closest_marker("stress")]
    if long_forms:
        config.hook.pytest_deselected(items=long_forms)
        items[:] = [item for item in items if item not in long_forms]
