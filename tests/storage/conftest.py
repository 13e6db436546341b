"""A node with an empty database in a temporary folder."""

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from storage.audit import record
from storage.database import Database, open_database
from tests.storage.stages import START, Node
from tests.support.audit_log import ROWS


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database to copy: a migration for each test would take most of their time."""
    path = tmp_path_factory.mktemp("new") / "node.sqlite3"
    open_database(path).close()
    return path


@pytest.fixture
def make_node(new_database: Path, tmp_path: Path) -> Iterator[Callable[[], Node]]:
    made: list[Node] = []

    def make() -> Node:
        folder = tmp_path / f"node{len(made)}"
        folder.mkdir()
        shutil.copy(new_database, folder)
        made.append(Node(folder))
        _do_not_sync(made[-1].db)
        return made[-1]

    yield make
    for node in made:
        node.db.close()


@pytest.fixture
def node(make_node: Callable[[], Node]) -> Node:
    return make_node()


@pytest.fixture
def db(node: Node) -> Database:
    return node.db


@pytest.fixture
def filled(db: Database) -> Database:
    """With ROWS rows in its audit log, of two series and three events."""
    for number in range(1, ROWS + 1):
        uid = f"1.{number % 2}"
        at = START + timedelta(seconds=number)
        record(db, f"event-{number % 3}", at, series_instance_uid=uid, actor="node", detail={"count": number})
    return db


def _do_not_sync(db: Database) -> None:
    """No power cut happens here, and the fsyncs would take most of the time; processes set their own."""
    raw = db._engine.raw_connection()
    raw.cursor().execute("PRAGMA synchronous = OFF")
    raw.close()
