"""`dicom-node check-config`: the effective settings, and whether the node could start with them."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pydicom.datadict import tag_for_keyword
from rich.console import Console
from rich.table import Table

from dicom_node.settings import DestinationSettings, Settings
from glianet.weights_file import DEFAULT_WEIGHTS, weights_sha256
from storage.durable import ensure_folder, free_bytes

GIB = 1024**3
DEVICE_PROBE_TIMEOUT_S = 120.0  # importing torch on a cold disk takes its time
_DEVICE_PROBE = """
import sys, torch
from glianet.device import choose_device
print(choose_device(sys.argv[1]), torch.__version__)
"""


@dataclass(frozen=True)
class Check:
    """One thing that a start needs: what it is, whether it holds, and what was seen."""

    name: str
    level: str  # "ok", "warning", "error"
    outcome: str

    @property
    def failed(self) -> bool:
        return self.level == "error"


def run_checks(settings: Settings, *, echo: bool) -> tuple[Check, ...]:
    """Everything a start needs, checked without starting; `echo` adds a C-ECHO to every destination."""
    checks = [
        *_check_keywords(settings),
        _check_port(settings),
        *_check_senders(settings),
        _check_folder(settings),
        _check_weights(settings),
        _check_device(settings),
        *_check_destinations(settings),
    ]
    if echo:
        checks += [_check_echo(destination, settings) for destination in settings.destinations]
    return tuple(checks)


def print_checks(settings: Settings, checks: tuple[Check, ...], *, as_json: bool) -> None:
    """Settings and checks, as tables for people or as JSON."""
    effective = settings.model_dump(mode="json")
    if as_json:
        print(json.dumps({"settings": effective, "checks": [asdict(check) for check in checks]}, indent=2))
        return
    console = Console()
    table = Table("setting", "value", title="Effective settings", show_lines=False)
    for key, value in _flat(effective):
        table.add_row(key, value)
    console.print(table)
    table = Table("check", "", "what was seen", title="What a start needs")
    colours = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}
    for check in checks:
        table.add_row(check.name, colours[check.level], check.outcome)
    console.print(table)
    console.print("For research use only: not for diagnosis.")


def _check_keywords(settings: Settings) -> Iterator[Check]:
    named = [rule.attribute for rule in settings.selection.urgent]
    for keyword in (*named, *settings.assembly.announced_count_attributes):
        if tag_for_keyword(keyword) is None:
            yield Check("attributes", "error", f"{keyword} is no attribute keyword of PS3.6")


def _check_port(settings: Settings) -> Check:
    where = f"{settings.receiver.host}:{settings.receiver.port}"
    try:
        family = socket.getaddrinfo(settings.receiver.host, settings.receiver.port, type=socket.SOCK_STREAM)[
            0
        ][0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((settings.receiver.host, settings.receiver.port))
    except OSError as error:
        return Check(
            "port", "error", f"{where} cannot be listened on ({error.strerror}): is a node running already?"
        )
    return Check("port", "ok", f"{where} is free, AE title {settings.node.ae_title}")


def _check_senders(settings: Settings) -> Iterator[Check]:
    loopback = settings.receiver.host in ("127.0.0.1", "::1", "localhost")
    if loopback:
        yield Check(
            "senders", "warning", "listens on this machine only: set receiver.host for a scanner's network"
        )
    elif not settings.receiver.calling_ae_titles:
        yield Check(
            "senders", "warning", "any AE title may send: name the scanners in receiver.calling_ae_titles"
        )


def _check_folder(settings: Settings) -> Check:
    folder = settings.storage.folder
    try:
        ensure_folder(folder)
        probe = folder / f".check-config-{os.getpid()}"
        probe.touch(mode=0o600, exist_ok=False)
        probe.unlink()
        free_gib = free_bytes(folder) / GIB
    except OSError as error:
        return Check("folder", "error", f"{folder} is not writable: {error.strerror}")
    seen = f"{folder} is writable, {free_gib:.1f} GiB free"
    if free_gib <= settings.receiver.minimum_free_gib:
        floor = settings.receiver.minimum_free_gib
        return Check(
            "folder", "error", f"{seen}: below receiver.minimum_free_gib = {floor}, nothing would be accepted"
        )
    return Check("folder", "ok", seen)


def _check_weights(settings: Settings) -> Check:
    path = Path(settings.model.weights or DEFAULT_WEIGHTS)
    if not path.is_file():
        return Check("weights", "error", f"{path} is not there: set model.weights to a safetensors file")
    shipped = "" if settings.model.weights else " (shipped: trained on phantoms only, no diagnostic value)"
    return Check("weights", "ok", f"{path.name}{shipped}, SHA-256 {weights_sha256(path)}")


def _check_device(settings: Settings) -> Check:
    """Asked in a process of its own: this one must not import torch."""
    if importlib.util.find_spec("torch") is None:
        return Check("device", "error", "torch is not installed")
    probe = subprocess.run(
        [sys.executable, "-c", _DEVICE_PROBE, settings.model.device],
        capture_output=True,
        text=True,
        timeout=DEVICE_PROBE_TIMEOUT_S,
        check=False,
    )
    if probe.returncode:
        reason = probe.stderr.strip().splitlines()[-1] if probe.stderr.strip() else "no answer"
        return Check("device", "error", f"{settings.model.device} cannot be used: {reason}")
    device, version = probe.stdout.split()
    return Check("device", "ok", f"{device} would be used (torch {version})")


def _check_destinations(settings: Settings) -> Iterator[Check]:
    if not settings.destinations:
        yield Check("destinations", "warning", "none: results stay in the storage folder and reach no PACS")
    for destination in settings.destinations:
        where = f"{destination.ae_title} at {destination.host}:{destination.port}"
        own = (settings.node.ae_title, settings.receiver.port)
        if (destination.ae_title, destination.port) == own and destination.host == settings.receiver.host:
            yield Check(f"destination {destination.name}", "error", f"{where} is this node itself")


def _check_echo(destination: DestinationSettings, settings: Settings) -> Check:
    from dicom_node.delivery import echo

    result = echo(destination, settings.node.ae_title)
    return Check(f"echo {destination.name}", "ok" if result.ok else "error", result.detail)


def _flat(tables: dict[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value, 1):
                yield from _flat(item, f"{prefix}{key}[{number}].")
        else:
            yield f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)
