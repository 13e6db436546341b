"""Audit messages that wait, in `dicom-node status`."""

import json

from dicom_node.atna.cursor import write_marks
from storage.audit import entries
from storage.audit_head import RowMark
from tests.dicom_node.commands.called_node import Site
from tests.support.head_series import HeadSeries


def seen(site: Site) -> object:
    return json.loads(site.run("status", "--json").stdout)["audit_messages"]


def test_nothing_is_said_where_nothing_is_sent(site: Site, failed: HeadSeries) -> None:
    assert seen(site) is None
    assert "audit messages" not in site.run("status").stdout


def test_rows_that_wait(site: Site, failed: HeadSeries) -> None:
    """Of the four rows of a series that failed two have a message."""
    site.config.write_text(site.config.read_text() + "\n[atna]\nenabled = true\n")
    assert seen(site) == {"waiting": 2, "oldest_waiting_since": "2026-01-15 10:00:00+00:00"}
    said = site.run("status").stdout
    assert "audit messages to 127.0.0.1:6514: rows waiting: 2, since 2026-01-15 10:00:00 UTC" in said
    last = list(entries(site.pipeline.db))[-1]
    write_marks(site.pipeline.folders.atna_cursor, [RowMark(last.number, last.hash)])
    assert seen(site) == {"waiting": 0, "oldest_waiting_since": None}
    assert "audit messages to 127.0.0.1:6514: none waits" in site.run("status").stdout
