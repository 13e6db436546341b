"""Certificates in `check-config` and `status`: valid, ending soon, expired, unreadable; who can read the storage."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicom_node.commands import check_access, check_config
from dicom_node.commands.checks import Check
from tests.dicom_node.commands.called_node import Site
from tests.support.certificates import Authority
from tests.support.ports import free_port

Install = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """That question starts torch, and is asked elsewhere."""
    monkeypatch.setattr(check_config, "_check_device", lambda _settings: Check("device", "ok", "not asked"))


@pytest.fixture
def install(site: Site) -> Install:
    """Give the site [tls] with a certificate that ends in so many days; its key."""

    def install(days: float = 300.0, extra: str = "") -> Path:
        end = datetime.now(UTC) + timedelta(days=days)
        files = Authority(site.config.parent / "pki").issue("node", until=end)
        lines = 'certificate = "pki/node.pem"\nprivate_key = "pki/node.key"\ntrusted = "pki/ca.pem"\n'
        site.config.write_text(f"{site.config.read_text()}[tls]\n{lines}{extra}")
        site.rewrite("[receiver]", f"[receiver]\ntls_port = {free_port()}")
        return Path(files.private_key)

    return install


def checks(site: Site) -> dict[str, tuple[str, str]]:
    found = json.loads(site.run("check-config", "--json").stdout)["checks"]
    return {check["name"]: (check["level"], check["outcome"]) for check in found}


def certificates(site: Site) -> list[dict[str, object]]:
    return list(json.loads(site.run("status", "--json").stdout)["certificates"])


def test_a_valid_certificate(site: Site, install: Install) -> None:
    install()
    found = checks(site)
    assert found["own certificate"][0] == "ok"
    assert "CN=node," in found["own certificate"][1]
    assert "valid until 20" in found["own certificate"][1]
    assert found["trusted certificate"][0] == "ok"
    assert found["TLS port"][0] == "ok"
    own, trusted = certificates(site)
    assert (own["level"], own["own"], own["days_left"], trusted["own"]) == ("ok", True, 299, False)
    assert "certificate: CN=node" in site.run("status").stdout


def test_a_certificate_that_ends_soon_is_a_warning(site: Site, install: Install) -> None:
    install(12.5)
    level, outcome = checks(site)["own certificate"]
    assert level == "warning"
    assert outcome.endswith(", in 12 days: renew it")
    assert certificates(site)[0]["level"] == "warning"
    assert "in 12 days: renew it" in site.run("status").stdout


def test_the_warning_comes_as_early_as_is_set(site: Site, install: Install) -> None:
    install(12.5, "expiry_warning_days = 10\n")
    assert checks(site)["own certificate"][0] == "ok"


def test_an_expired_certificate_is_an_error_that_keeps_nothing_from_starting(
    site: Site, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is waiting in the node must go on; only TLS is out."""
    started: list[object] = []
    monkeypatch.setattr("dicom_node.daemon.serve", started.append)
    install(-1.0)
    result = site.run("check-config")
    assert result.exit_code == 2
    assert "peers refuse it; renew it" in result.stdout
    assert certificates(site)[0]["level"] == "error"
    served = site.run("serve")
    assert served.stderr.startswith("error: own certificate: CN=node")
    assert served.exit_code == 0
    assert len(started) == 1


def test_a_key_that_others_can_read_refuses_the_start_in_one_line(site: Site, install: Install) -> None:
    install().chmod(0o644)
    assert "others than its owner may use it (mode 0644)" in checks(site)["tls"][1]
    result = site.run("serve")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("cannot start: tls: ")
    assert line.endswith("chmod 600")


def test_a_certificate_that_is_not_there(site: Site, install: Install) -> None:
    install().with_name("node.pem").unlink()
    assert "node.pem: cannot be read (No such file or directory)" in checks(site)["tls"][1]
    (only,) = certificates(site)
    assert only["level"] == "error"
    assert "\ncertificates of [tls]: " in site.run("status").stdout


def test_no_private_key_is_ever_printed(site: Site, install: Install) -> None:
    secret = install().read_text().splitlines()[1]
    for command in (("check-config",), ("check-config", "--json"), ("status",), ("status", "--json")):
        assert secret not in site.run(*command).output


def test_a_certificate_for_servers_alone_is_an_error_where_the_node_is_a_client(
    site: Site, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    monkeypatch.setattr(check_access, "missing_usages", lambda _certificate, **asked: tuple(filter(asked.get, asked)))
    outcomes = [check["outcome"] for check in json.loads(site.run("check-config", "--json").stdout)["checks"]]
    assert [text for text in outcomes if "lacks as_server:" in text]
    site.rewrite('name = "pacs"', 'name = "pacs"\ntls = true')
    outcomes = [check["outcome"] for check in json.loads(site.run("check-config", "--json").stdout)["checks"]]
    assert [text for text in outcomes if "lacks as_server and as_client:" in text]


def test_without_tls_nothing_is_said_of_it(site: Site) -> None:
    assert not {"tls", "own certificate", "TLS port"} & set(checks(site))
    assert certificates(site) == []
    assert "certificate" not in site.run("status").stdout


def test_a_storage_folder_that_others_may_enter_is_a_warning(site: Site) -> None:
    folder = site.pipeline.folders.root
    folder.chmod(0o750)
    assert checks(site)["privacy"] == (
        "warning",
        f"others may enter {folder} (mode 0750): chmod 700, for it holds patients' images",
    )
    folder.chmod(0o700)
    assert "privacy" not in checks(site)


@pytest.mark.parametrize("name", ["audit-signing.key", "patient-hash.key"])
def test_a_key_of_the_nodes_own_that_others_can_read_refuses_the_start(site: Site, name: str) -> None:
    key = site.pipeline.folders.root / name
    key.touch(0o600)
    assert "keys" not in checks(site)
    key.chmod(0o640)
    assert checks(site)["keys"] == ("error", f"others than its owner may use {key} (mode 0640): chmod 600")
    assert site.run("serve").exit_code == 2


def test_remotes_are_named_senders(site: Site) -> None:
    site.rewrite("[receiver]", '[receiver]\nhost = "0.0.0.0"')
    assert "any AE title may send" in checks(site)["senders"][1]
    site.config.write_text(site.config.read_text() + '[[remote]]\nname = "ct1"\nae_title = "CT1"\n')
    assert "senders" not in checks(site)


def test_a_key_of_another_certificate_is_an_error_before_the_restart_that_would_fail(
    site: Site, install: Install
) -> None:
    key = install()
    own, trusted, problem = replaced_key(site, key)
    assert (own["level"], trusted["level"], problem["level"]) == ("ok", "ok", "error")
    assert "node.pem: does not go with" in str(problem["error"])
    found = json.loads(site.run("status", "--json").stdout)["attention"]
    assert [text for text in found if text.startswith("certificates of [tls]: ") and "does not go with" in text]
    assert "certificates of [tls]: " in site.run("status").stdout
    assert "does not go with" in checks(site)["tls"][1]


def replaced_key(site: Site, key: Path) -> list[dict[str, object]]:
    other = Authority(site.config.parent / "other").issue("other")
    key.write_bytes(Path(other.private_key).read_bytes())
    return certificates(site)


def test_a_key_that_others_can_read_is_an_error_in_status_too(site: Site, install: Install) -> None:
    install().chmod(0o644)
    *_, problem = certificates(site)
    assert "others than its owner may use it (mode 0644)" in str(problem["error"])


def send_audit_messages(site: Site, extra: str) -> None:
    site.config.write_text(f"{site.config.read_text()}[atna]\nenabled = true\n{extra}")


def test_files_of_audit_messages_are_listed_once(site: Site, install: Install) -> None:
    install()
    send_audit_messages(site, "")
    assert [one["table"] for one in certificates(site)] == ["tls", "tls"]
    Authority(site.config.parent / "audit", "Audit CA")
    site.rewrite("enabled = true", 'enabled = true\ntrusted = "audit/ca.pem"')
    *_, last = certificates(site)
    assert (last["table"], last["level"], last["own"]) == ("atna", "ok", False)
    assert "Audit CA" in str(last["subject"])


def test_a_file_of_audit_messages_that_is_not_there(site: Site, install: Install) -> None:
    install()
    send_audit_messages(site, 'trusted = "audit/ca.pem"\n')
    *_, last = certificates(site)
    assert (last["table"], last["level"]) == ("atna", "error")
    assert "audit/ca.pem: cannot be read" in str(last["error"])
    site.rewrite("enabled = true", "enabled = false")
    assert {one["table"] for one in certificates(site)} == {"tls"}
