"""`dicom-node check-config`: the effective settings, and whether the node could start with them."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from pydicom.datadict import tag_for_keyword
from rich.console import Console
from rich.text import Text

from dicom_node.clock import system_clock
from dicom_node.commands.check_access import LOOPBACK, check_access
from dicom_node.commands.check_atna import check_atna
from dicom_node.commands.check_commitment import check_commitment
from dicom_node.commands.check_ports import check_ports
from dicom_node.commands.check_storage import check_storage
from dicom_node.commands.checks import Check
from dicom_node.destination_settings import DestinationSettings
from dicom_node.result_kinds import STATEMENTS
from dicom_node.settings import Settings
from glianet.errors import WeightsError
from glianet.weights_file import DEFAULT_WEIGHTS, combined_sha256, read_metadata, weights_sha256

PROBE_TIMEOUT_S = 120.0  # importing torch on a cold disk takes its time
MAY_PASS_EXIT_STATUS = 75  # EX_TEMPFAIL of sysexits.h
EVERY_ADDRESS = ("0.0.0.0", "::")
NO_STATEMENT = (
    "gets neither report nor key_images nor pdf: of a series without a candidate, or not analysed, it hears nothing"
)
STYLES = {"ok": "green", "warning": "yellow", "error": "red"}
_DEVICE_PROBE = """
import sys, torch
from glianet.device import choose_device
from glianet.errors import GliaNetError
from glianet.model import ComputeSettings, fitting_ways
try:
    device = choose_device(sys.argv[2])
    backend, precision = fitting_ways(ComputeSettings(*sys.argv[2:]), device)[0]
except GliaNetError as problem:
    print(problem, file=sys.stderr)
    sys.exit(int(sys.argv[1]) if problem.retry_helps else 1)
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
        *check_ports(settings),
        *check_access(settings, now or system_clock()),
        *check_storage(settings),
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
    counted = f"{errors} error{'s' if errors > 1 else ''}"
    if any(check.refuses for check in checks):
        return f"{counted}: to be mended first."
    return f"The node can start, and has {counted} to be mended." if errors else "The node can start."


def _check_keywords(settings: Settings) -> Iterator[Check]:
    named = [rule.attribute for rule in settings.selection.urgent]
    for keyword in (*named, *settings.assembly.announced_count_attributes):
        if tag_for_keyword(keyword) is None:
            yield Check("attributes", "error", f"{keyword} is no attribute keyword of PS3.6")


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
    if settings.model.weights:
        answer = _probe(_WEIGHTS_PROBE, *settings.model.weights)
        if answer.problem:
            return answer.as_check("weights", answer.problem)
    return Check("weights", "ok", "; ".join(seen))


def _check_device(settings: Settings) -> Check:
    """Asked in a process of its own: this one must not import torch."""
    if importlib.util.find_spec("torch") is None:
        return Check("device", "error", "torch is not installed")
    model = settings.model
    answer = _probe(_DEVICE_PROBE, str(MAY_PASS_EXIT_STATUS), model.device, model.backend, model.precision)
    if answer.problem:
        return answer.as_check("device", f"model.device, backend, precision: {answer.problem}")
    return Check("device", "ok", answer.printed)


@dataclass(frozen=True)
class _Answer:
    """What a program printed, and what it said where it failed; `late`: it said nothing in time."""

    printed: str
    problem: str = ""
    may_pass: bool = False
    late: bool = False

    def as_check(self, name: str, outcome: str) -> Check:
        """A machine that is busy is no reason not to start."""
        return Check(name, "warning" if self.late else "error", outcome, may_pass=self.may_pass)


def _probe(program: str, *arguments: str) -> _Answer:
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
        said = f"torch did not answer within {PROBE_TIMEOUT_S:.0f} s; is the machine busy?"
        return _Answer("", said, may_pass=True, late=True)
    printed, errors = (text.strip().splitlines() or [""] for text in (done.stdout, done.stderr))
    if done.returncode == 0:
        return _Answer(printed[-1])
    may_pass = done.returncode == MAY_PASS_EXIT_STATUS or done.returncode < 0  # a signal, as for want of memory
    return _Answer(printed[-1], errors[-1] or "no answer", may_pass)


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
