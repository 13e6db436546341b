"""`dicom-node doctor` on a storage folder in which one series is done: what it says and what it repairs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.dicom_node.commands.called_node import CONFIG, Site
from tests.support.ended import Template


@contextmanager
def sound_site(template: Template, folder: Path) -> Iterator[Site]:
    """One series is done."""
    config = folder / "config.toml"
    config.write_text(CONFIG.format(port=11999, away=11998))
    with template.open_copy(folder / "node") as pipeline:
        for path in (pipeline.folders.root, *pipeline.folders.root.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)  # as the node's umask has it
        yield Site(config, pipeline, 11999)


def examine(site: Site, *options: str) -> dict[str, dict[str, Any]]:
    """The checks by their names."""
    site.pipeline.db.close()
    result = site.run("doctor", "--json", *options)
    assert result.exit_code in (0, 1), result.output
    said = json.loads(result.stdout)
    assert said["sound"] == (result.exit_code == 0)
    return {check["name"]: check for check in said["checks"]}


def levels(checks: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: check["level"] for name, check in checks.items() if check["level"] != "ok"}


def repair(site: Site, *options: str) -> dict[str, dict[str, Any]]:
    """Repaired; and another look finds nothing more."""
    checks = examine(site, "--repair", *options)
    left = examine(site)
    assert not {name: one for name, one in left.items() if one["level"] == "error"}, left
    return checks
