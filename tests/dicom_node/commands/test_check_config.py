import json
import socket
from pathlib import Path

import pytest

from tests.dicom_node.commands.called_node import Site, run


def checks(site: Site, *options: str) -> dict[str, tuple[str, str]]:
    """Name -> (level, outcome)."""
    found = json.loads(site.run("check-config", "--json", *options).stdout)["checks"]
    return {check["name"]: (check["level"], check["outcome"]) for check in found}


def test_a_good_configuration(site: Site) -> None:
    result = site.run("check-config")
    assert result.exit_code == 0, result.stdout
    assert f"* receiver.port = {site.port}" in result.stdout
    assert '  node.ae_title = "GLIANET"' in result.stdout
    assert "  audit.record_echoes = false" in result.stdout
    assert "The node can start." in result.stdout


def test_it_makes_no_folder(site: Site) -> None:
    site.rewrite('folder = "node"', 'folder = "later/node"')
    level, outcome = checks(site)["folder"]
    assert level == "ok"
    assert f"later/node is not there yet; {site.config.parent} can be written" in outcome
    assert not (site.config.parent / "later").exists()


def test_a_folder_that_cannot_be_written_leaves_the_other_checks(site: Site) -> None:
    site.rewrite('folder = "node"', 'folder = "config.toml/node"')
    found = checks(site)
    assert found["folder"][0] == "error"
    assert "Not a directory" in found["folder"][1]
    assert found["weights"][0] == "ok"


def test_a_disk_at_its_floor(site: Site) -> None:
    site.rewrite("minimum_free_gib = 0.0", "minimum_free_gib = 99999.0")
    found = checks(site)
    assert found["folder"][0] == "ok"
    level, outcome = found["disk"]
    assert level == "error"
    assert outcome.endswith(" GiB free, below receiver.minimum_free_gib: nothing is accepted")
    result = site.run("check-config")
    assert result.exit_code == 2
    assert "The node can start, and has 1 error to be mended." in result.stdout


def test_a_port_in_use(site: Site) -> None:
    with socket.create_server(("127.0.0.1", site.port)):
        level, outcome = checks(site)["port"]
        assert level == "error"
        assert "Address already in use" in outcome
        assert "or another program" in outcome


def test_an_address_of_another_machine(site: Site) -> None:
    site.rewrite("[receiver]", '[receiver]\nhost = "192.0.2.1"')  # RFC 5737: for documents only
    level, outcome = checks(site)["port"]
    assert level == "error"
    assert "no such address" in outcome


def test_who_may_send(site: Site) -> None:
    assert "this machine only" in checks(site)["senders"][1]
    site.rewrite("[receiver]", '[receiver]\nhost = "0.0.0.0"')
    assert "any AE title may send" in checks(site)["senders"][1]
    site.rewrite("[receiver]", '[receiver]\ncalling_ae_titles = ["CT1"]')
    assert "senders" not in checks(site)


def test_weights_that_are_not_there_or_are_none(site: Site) -> None:
    site.rewrite("[model]", '[model]\nweights = "mine.safetensors"')
    assert "mine.safetensors is not there" in checks(site)["weights"][1]
    (site.config.parent / "mine.safetensors").write_text("none")
    assert checks(site)["weights"][0] == "error"
    result = site.run("serve")
    assert result.exit_code == 2
    assert result.stderr.startswith("cannot start: weights: ")


def test_destinations(site: Site) -> None:
    level, outcome = checks(site)["destination pacs"]
    assert (level, outcome[-14:]) == ("ok", "--echo asks it")
    level, outcome = checks(site, "--echo")["echo pacs"]
    assert level == "error"
    assert "no connection (Connection refused)" in outcome


def test_a_destination_that_may_hear_nothing(site: Site) -> None:
    assert "results for pacs" not in checks(site)
    site.config.write_text(
        site.config.read_text() + '[[destination]]\nname = "overlay"\nae_title = "O"\nhost = "127.0.0.1"\nport = 104\n'
        'report = "off"\n'
    )
    level, outcome = checks(site)["results for overlay"]
    assert level == "warning"
    assert "of a series without a candidate, or not analysed, it hears nothing" in outcome


def test_a_destination_that_is_the_node_itself(site: Site) -> None:
    site.rewrite("[receiver]", '[receiver]\nhost = "0.0.0.0"')
    site.config.write_text(
        site.config.read_text() + f'[[destination]]\nname = "self"\nae_title = "GLIANET"\n'
        f'host = "localhost"\nport = {site.port}\n'
    )
    assert checks(site)["destination self"] == (
        "error",
        f"GLIANET at localhost:{site.port} is this node itself",
    )


def test_an_attribute_that_dicom_does_not_know(site: Site) -> None:
    site.rewrite("[model]", '[assembly]\nannounced_count_attributes = ["NumberOfSlicez"]\n[model]')
    assert checks(site)["attributes"] == ("error", "NumberOfSlicez is no attribute keyword of PS3.6")


def test_a_settings_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("check-config")
    assert result.exit_code == 2
    assert "with --config, or in DICOM_NODE_CONFIG" in result.stderr


def test_the_settings_file_may_be_named_in_the_environment(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DICOM_NODE_CONFIG", str(site.config))
    assert "series: none yet" in run("status").stdout
