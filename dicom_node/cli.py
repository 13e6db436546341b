"""`dicom-node`: the command line of the node."""

import importlib.metadata
from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli_audit import audit
from dicom_node.cli_common import (
    BAD_CONFIGURATION_EXIT_STATUS,
    DEFAULT_CONFIG,
    FAILURE_EXIT_STATUS,
    AsJson,
    Config,
)
from dicom_node.cli_common import guarded as _guarded
from dicom_node.cli_common import settings_from as _settings
from dicom_node.cli_upkeep import upkeep
from dicom_node.printable import printable
from dicom_node.settings import Settings

app = typer.Typer(
    name="dicom-node",
    help="A DICOM node that looks for intracranial aneurysms on head CT angiograms. For research use only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(audit, name="audit")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dicom-node {importlib.metadata.version('glia-node')}")
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Typer's place for options that come before the command."""


@app.command()
def serve(config: Config = DEFAULT_CONFIG) -> None:
    """Run the node until SIGTERM or Ctrl-C."""
    from dicom_node.daemon import serve as run

    settings = _settings(config)
    _refuse_a_bad_start(settings)
    _guarded(run, settings)


@app.command(name="check-config")
def check_config(
    config: Config = DEFAULT_CONFIG,
    echo: Annotated[bool, typer.Option("--echo", help="Send a C-ECHO to every destination.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the effective settings and check what a start needs."""
    from dicom_node.commands.check_config import print_checks, run_checks

    settings = _settings(config)
    checks = _guarded(run_checks, settings, echo=echo)
    print_checks(settings, checks, as_json=as_json)
    raise typer.Exit(BAD_CONFIGURATION_EXIT_STATUS if any(check.failed for check in checks) else 0)


@app.command()
def status(
    config: Config = DEFAULT_CONFIG,
    limit: Annotated[int, typer.Option(help="How many series to list, newest first.", min=0)] = 20,
    state: Annotated[
        str | None, typer.Option(help="Only series in this state, such as failed or not-analysed.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="End with status 1 where something needs attention.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print what needs attention, and what is waiting, running, done, refused and failed."""
    from dicom_node.commands.status import print_status

    attention = _guarded(print_status, _settings(config), limit=limit, state=state, as_json=as_json)
    raise typer.Exit(FAILURE_EXIT_STATUS if check and attention else 0)


@app.command()
def retry(
    series: Annotated[str | None, typer.Argument(help="Series Instance UID of one that failed, or waits.")] = None,
    all_failed: Annotated[bool, typer.Option("--all", help="All that failed, and all that wait.")] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give failed series (or one of them) another set of tries; what waits for its next try is tried now."""
    from dicom_node.commands.retry import retry_series

    if (series is None) != all_failed:
        raise typer.BadParameter("name one Series Instance UID, or --all")
    _guarded(retry_series, _settings(config), series, as_json=as_json)


@app.command()
def reanalyse(
    series: Annotated[str, typer.Argument(help="Series Instance UID of a series that has ended.")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Analyse a series again, with the weights and settings of today; its new report replaces the earlier one."""
    from dicom_node.commands.retry import reanalyse_series

    _guarded(reanalyse_series, _settings(config), series, as_json=as_json)


@app.command()
def abandon(
    because: Annotated[
        str, typer.Option("--because", help="Why, for the audit log alone. Nothing that names a patient.")
    ],
    series: Annotated[str | None, typer.Argument(help="Series Instance UID of one that failed, or is sent.")] = None,
    destination: Annotated[
        str | None, typer.Option(help="Give up only on what this destination is still to get, or did not take.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be given up.")] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give up on a failed series, or on a destination that is gone (of one series, or of all); while the node runs."""
    from dicom_node.commands.abandon import abandon as give_up

    if series is None and destination is None:
        raise typer.BadParameter("name a Series Instance UID, --destination, or both")
    _guarded(give_up, _settings(config), series, destination, because, dry_run=dry_run, as_json=as_json)


@app.command()
def send(
    folder: Annotated[Path, typer.Argument(help="DICOM files, looked for in subfolders too.")],
    host: Annotated[str, typer.Option(help="Host name or address of the peer.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="DICOM port of the peer.")] = 11112,
    called: Annotated[str, typer.Option("--called", help="AE title of the peer.")] = "GLIANET",
    calling: Annotated[str, typer.Option("--calling", help="AE title to send as.")] = "SENDER",
    tls: Annotated[bool, typer.Option("--tls", help=r"Over TLS, with the files of \[tls] in --config.")] = False,
    tls_name: Annotated[
        str, typer.Option(help='Name that the peer\'s certificate must bear; "*": any. Without it the host.')
    ] = "",
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Send DICOM files to a peer by C-STORE."""
    from dicom_node.commands.send import send_files
    from dicom_node.tls import TlsClient

    security = TlsClient(_settings(config).tls, tls_name or host) if tls else None
    complete = _guarded(send_files, folder, host, port, called, calling, security, as_json=as_json)
    raise typer.Exit(0 if complete else FAILURE_EXIT_STATUS)


@app.command()
def validate(
    folder: Annotated[Path, typer.Argument(help="Results (SEG, SR, others), looked for in subfolders too.")],
    source: Annotated[
        Path | None, typer.Option(help="The CT series that they belong to, where it lies elsewhere.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check results in a folder: identity, patient, references, segments, measurements. Status 1 if any fails."""
    from dicom_node.commands.validate import validate_files

    passed = _guarded(validate_files, folder, source, as_json=as_json)
    raise typer.Exit(0 if passed else FAILURE_EXIT_STATUS)


@app.command()
def reasons(
    code: Annotated[str | None, typer.Argument(help="Only this code, such as missing-slice.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the codes that say why a series is not analysed, with meaning and advice."""
    from dicom_node.commands.reasons import print_reasons

    _guarded(print_reasons, code, as_json=as_json)


def _refuse_a_bad_start(settings: Settings) -> None:
    """Status 2, after which systemd does not try again, only where trying again cannot help."""
    from dicom_node.commands.check_config import run_checks

    checks = _guarded(run_checks, settings, echo=False)
    for check in checks:
        if check.failed or check.may_pass:
            kind = "cannot start" if check.refuses else check.level
            typer.echo(printable(f"{kind}: {check.name}: {check.outcome}"), err=True)
    refusing = [check for check in checks if check.refuses]
    if refusing:
        passing = all(check.may_pass for check in refusing)
        raise typer.Exit(FAILURE_EXIT_STATUS if passing else BAD_CONFIGURATION_EXIT_STATUS)


app.add_typer(upkeep)

if __name__ == "__main__":
    app()
