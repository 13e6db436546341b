"""`dicom-node` called as by a user, on a storage folder that the stages have filled."""

from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner, Result

from dicom_node.cli import app
from tests.support.pipeline import Pipeline

CONFIG = """
[receiver]
port = {port}
minimum_free_gib = 0.0
[model]
device = "cpu"
[[destination]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {away}
[storage]
folder = "node"
"""


@dataclass(frozen=True)
class Site:
    """`pipeline` is what a node has left in the folder; `config` names it."""

    config: Path
    pipeline: Pipeline
    port: int

    def run(self, *arguments: str) -> Result:
        return run(*arguments, "--config", str(self.config))

    def rewrite(self, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))


def run(*arguments: str) -> Result:
    """`dicom-node` with these arguments, in this process."""
    return CliRunner().invoke(app, list(arguments))
