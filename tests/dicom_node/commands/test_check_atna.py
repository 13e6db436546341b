"""What `check-config` says of the connection to the audit record repository."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicom_node.commands.check_atna import NAME, check_atna
from dicom_node.settings import Settings, load_settings
from tests.dicom_node.commands.called_node import Site
from tests.support.certificates import Authority, as_table
from tests.support.ports import free_port
from tests.support.syslog_receiver import Fault, receiving


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def configured(table: dict[str, object], **values: object) -> Settings:
    return Settings.model_validate({"atna": {"enabled": True, **table, **values}})


def said(settings: Settings, *, echo: bool = False) -> list[tuple[str, str]]:
    checks = list(check_atna(settings, datetime.now(UTC), echo=echo))
    assert not any(check.prevents_start for check in checks), "images are analysed all the same"
    return [(check.level, check.outcome) for check in checks]


def test_nothing_is_said_where_nothing_is_sent() -> None:
    assert said(Settings(), echo=True) == []


def test_it_is_part_of_check_config(site: Site) -> None:
    text = site.config.read_text()
    site.config.write_text(f"{text}\n[atna]\nenabled = true\n")
    checks = json.loads(site.run("check-config", "--json").stdout)["checks"]
    (found,) = [check for check in checks if check["name"] == NAME]
    assert found["level"] == "error"
    assert "certificate, private_key and trusted are all needed" in found["outcome"]


def test_files_and_connection(authority: Authority) -> None:
    with receiving(authority.issue("repository")) as receiver:
        settings = configured(as_table(authority.issue("node")), port=receiver.port)
        ((level, outcome),) = said(settings)
        assert (level, outcome) == ("ok", f"to 127.0.0.1:{receiver.port} over TLS; --echo asks it")
        assert receiver.connections == 0
        ((level, outcome),) = said(settings, echo=True)
        assert level == "ok"
        assert outcome.startswith(f"127.0.0.1:{receiver.port} answers over TLSv1.")
        receiver.fault = Fault.NO_END
        ((level, outcome),) = said(
            configured(as_table(authority.issue("node")), port=receiver.port, timeout_s=0.5), echo=True
        )
        assert level == "error"
        assert "does not end the connection" in outcome


def test_nobody_there(authority: Authority) -> None:
    ((level, outcome),) = said(configured(as_table(authority.issue("node")), port=free_port()), echo=True)
    assert level == "error"
    assert "Connection refused" in outcome


def test_files_are_relative_to_the_settings(authority: Authority, tmp_path: Path) -> None:
    files = as_table(authority.issue("node"))
    lines = [f'{name} = "{Path(str(file)).relative_to(tmp_path)}"' for name, file in files.items()]
    (tmp_path / "config.toml").write_text("\n".join(["[atna]", "enabled = true", *lines]))
    assert said(load_settings(tmp_path / "config.toml"))[0][0] == "ok"


def test_what_is_wrong_with_the_files(authority: Authority) -> None:
    files = as_table(authority.issue("node"))
    ((level, outcome),) = said(configured({**files, "certificate": "nothing.pem"}))
    assert level == "error"
    assert "nothing.pem: cannot be read" in outcome
    Path(str(files["private_key"])).chmod(0o644)
    assert "others than its owner may use it (mode 0644)" in said(configured(files))[0][1]


def test_a_certificate_that_ends(authority: Authority) -> None:
    soon = datetime.now(UTC) + timedelta(days=5, hours=1)
    ends, ok = said(configured(as_table(authority.issue("node", until=soon))))
    assert ends[0] == "warning"
    assert "in 5 days: renew it" in ends[1]
    assert ok[0] == "ok"


def test_over_udp_is_warned_of() -> None:
    ((level, outcome),) = said(configured({}, transport="udp", port=514), echo=True)
    assert level == "warning"
    assert "anybody on the way can read, forge or lose them" in outcome
