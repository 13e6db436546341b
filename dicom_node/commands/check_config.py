"""`dicom-node check-config`: the effective settings, and whether the node could start with them."""

import errno
import importlib.metadata
import importlib.util
import json
import pwd
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from pydicom.datadict import tag_for_keyword
from rich.console import Console
from rich.text import Text

from dicom_node.clock import system_clock
from dicom_node.commands.check_access import LOOPBACK, check_access
from dicom_node.commands.check_atna import check_atna
from dicom_node.commands.check_commitment import check_commitment
from dicom_node.commands.checks import Check
from dicom_node.commands.running_node import find_running_node
from dicom_node.destination_settings import DestinationSettings
from dicom_node.result_kinds import STATEMENTS
from dicom_node.settings import Settings
from glianet.errors import WeightsError
from glianet.weights_file import DEFAULT_WEIGHTS, combined_sha256, read_metadata, weights_sha256
from storage.durable import free_bytes

GIB = 1024**3
PROBE_TIMEOUT_S = 120.0  # importing torch on a cold disk takes its time
EVERY_ADDRESS = ("0.0.0.0", "::")
NO_STATEMENT = (
    "gets neither report nor key_images nor pdf: of a series without a candidate, or not analysed, it hears nothing"
)
STYLES = {"ok": "green", "warning": "yellow", "error": "red"}
_PORT_ADVICE = {
    errno.EADDRINUSE: "is a node running already, or another program?",
    errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 listens on all that it has",
    errno.EACCES: "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); choose a higher one or grant it",
}
_DEVICE_PROBE = """
import sys, torch
from glianet.device import choose_device
from glianet.errors import GliaNetError
from glianet.model import ComputeSettings, fitting_ways
try:
    device = choose_device(sys.argv[1])
    backend, precision = fitting_ways(ComputeSettings(*sys.argv[1:]), device)[0]
except GliaNetError as problem:
    sys.exit(str(problem))
print(f"{device} would be used by {backend} in {precision} (torch {torch.__version__})")
"""
_WEIGHTS_PROBE = """
import sys
from pathlib import Path
from glianet.checkpoint import load_network
from glianet.errors import GliaNetError
try:
    for name in sys.argv[1:]:
        load_network(Path(name))
except GliaNetError as problem:
    sys.exit(str(problem))
"""


def run_checks(settings: Settings, *, echo: bool, now: datetime | None = None) -> tuple[Check, ...]:
    """Everything a start needs, checked without starting; `echo` adds a C-ECHO to every destination."""
    checks = [
        *_check_keywords(settings),
        *_check_ports(settings),
        *check_access(settings, now or system_clock()),
        _check_folder(settings),
        _check_weights(settings),
        _check_device(settings),
        *_check_destinations(settings, echo=echo),
        *check_commitment(settings),
        *check_atna(settings, now or system_clock(), echo=echo),
    ]
    return tuple(checks)


def print_checks(settings: Settings, checks: tuple[Check, ...], *, as_json: bool) -> None:
    """Settings and checks, as lines for people or as JSON."""
    effective = settings.model_dump(mode="json")
    if as_json:
        print(json.dumps({"settings": effective, "checks": [asdict(check) for check in checks]}, indent=2))
        return
    console = Console(soft_wrap=True, markup=False, highlight=False)
    console.print("Effective settings (* another value than the default)", style="bold")
    defaults = dict(_flat(Settings().model_dump(mode="json")))
    for key, value in _flat(effective):
        console.print(f"{' ' if defaults.get(key) == value else '*'} {key} = {value}")
    console.print("\nWhat a start needs", style="bold")
    width = max(len(check.name) for check in checks)
    for check in checks:
        level = (f"{check.level:<8}", STYLES[check.level])
        console.print(Text.assemble(level, f"{check.name:<{width}}  {check.outcome}"))
    console.print(f"\n{_verdict(checks)} For research use only: not for diagnosis.")


def _verdict(checks: tuple[Check, ...]) -> str:
    errors = sum(check.failed for check in checks)
    if not errors:
        return "The node can start."
    return f"{errors} error{'s' if errors > 1 else ''}: to be mended first."


def _check_keywords(settings: Settings) -> Iterator[Check]:
    named = [rule.attribute for rule in settings.selection.urgent]
    for keyword in (*named, *settings.assembly.announced_count_attributes):
        if tag_for_keyword(keyword) is None:
            yield Check("attributes", "error", f"{keyword} is no attribute keyword of PS3.6")


def _check_ports(settings: Settings) -> Iterator[Check]:
    receiver = settings.receiver
    if receiver.accept_plain:
        yield _check_port("port", receiver.port, settings)
    if receiver.tls_port:
        yield _check_port("TLS port", receiver.tls_port, settings)


def _check_port(name: str, port: int, settings: Settings) -> Check:
    where = f"{settings.receiver.host}:{port}"
    try:
        _listen_once(settings.receiver.host, port)
    except socket.gaierror as error:
        return Check(
            name, "error", f"{where} cannot be listened on: receiver.host is no address ({error.strerror})"
        )
    except OSError as error:
        running = _running_on(settings.storage.folder) if error.errno == errno.EADDRINUSE else None
        if running is not None:
            return Check(name, "ok", f"{where} is listened on by this node, which runs (process {running})")
        advice = _PORT_ADVICE.get(error.errno or 0, "see receiver.host and the ports")
        return Check(name, "error", f"{where} cannot be listened on ({error.strerror}): {advice}")
    return Check(name, "ok", f"{where} is free, AE title {settings.node.ae_title}")


def _listen_once(host: str, port: int) -> None:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))


def _running_on(folder: Path) -> int | None:
    try:
        return find_running_node(folder)
    except OSError:  # not ours to read: the check of the folder says so
        return None


def _check_folder(settings: Settings) -> Check:
    """Makes no folder: run by another account than the node's, it would be that account's."""
    folder = settings.storage.folder
    standing = next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
    what = str(folder) if standing == folder else f"{folder} is not there yet; {standing}"
    try:
        tempfile.TemporaryFile(dir=standing).close()
        free_gib = free_bytes(standing) / GIB
        owner = pwd.getpwuid(standing.stat().st_uid).pw_name
    except OSError as error:
        return Check("folder", "error", f"{what} cannot be written ({error.strerror}): see storage.folder")
    except KeyError:
        owner = "an account without a name"
    seen = f"{what} can be written, owner {owner}, {free_gib:.1f} GiB free"
    if free_gib <= settings.receiver.minimum_free_gib:
        floor = settings.receiver.minimum_free_gib
        return Check(
            "folder", "error", f"{seen}: below receiver.minimum_free_gib = {floor}, nothing would be accepted"
        )
    return Check("folder", "ok", seen)


def _check_weights(settings: Settings) -> Check:
    shipped = "" if settings.model.weights else " (shipped: trained on phantoms only, no diagnostic value)"
    seen, digests = [], []
    for path in [Path(name) for name in settings.model.weights] or [DEFAULT_WEIGHTS]:
        if not path.is_file():
            return Check("weights", "error", f"{path} is not there: set model.weights to safetensors files")
        try:
            read_metadata(path)
        except WeightsError as error:
            return Check("weights", "error", str(error))
        digests.append(weights_sha256(path))
        seen.append(f"{path.name}{shipped}, SHA-256 {digests[-1]}")
    if len(digests) > 1:
        seen.append(f"together, as in results: SHA-256 {combined_sha256(digests)}")
    _, reason = _probe(_WEIGHTS_PROBE, *settings.model.weights) if settings.model.weights else ("", "")
    return Check("weights", "error" if reason else "ok", reason or "; ".join(seen))


def _check_device(settings: Settings) -> Check:
    """Asked in a process of its own: this one must not import torch."""
    if importlib.util.find_spec("torch") is None:
        return Check("device", "error", "torch is not installed")
    model = settings.model
    seen, reason = _probe(_DEVICE_PROBE, model.device, model.backend, model.precision)
    if reason:
        return Check("device", "error", f"model.device, backend, precision: {reason}")
    return Check("device", "ok", seen)


def _probe(program: str, *arguments: str) -> tuple[str, str]:
    """The last line that a program prints, and, where it fails, the last line of its errors."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", f"torch did not answer within {PROBE_TIMEOUT_S:.0f} s"
    printed, errors = (text.strip().splitlines() or [""] for text in (done.stdout, done.stderr))
    return printed[-1], (errors[-1] or "no answer") if done.returncode else ""


def _check_destinations(settings: Settings, *, echo: bool) -> Iterator[Check]:
    if not settings.destinations:
        yield Check("destinations", "warning", "none: results stay in the storage folder and reach no PACS")
    for destination in settings.destinations:
        name = f"destination {destination.name}"
        where = f"{destination.ae_title} at {destination.host}:{destination.port}"
        own = [(settings.node.ae_title, port) for port in (settings.receiver.port, settings.receiver.tls_port)]
        if (destination.ae_title, destination.port) in own and _is_here(destination.host, settings):
            yield Check(name, "error", f"{where} is this node itself")
        elif echo:
            yield _check_echo(destination, settings)
        else:
            yield Check(name, "ok", f"{where}; --echo asks it")
        if not destination.wanted & STATEMENTS:
            yield Check(f"results for {destination.name}", "warning", NO_STATEMENT)


def _is_here(host: str, settings: Settings) -> bool:
    listens_here = settings.receiver.host in (*LOOPBACK, *EVERY_ADDRESS)
    return host == settings.receiver.host or (listens_here and host in LOOPBACK)


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
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False)  # which TOML reads as well
