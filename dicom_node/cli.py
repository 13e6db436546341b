"""`dicom-node`: the command line of the node."""

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from dicom_node.errors import ConfigurationError, NodeError
from dicom_node.settings import Settings, load_settings
from storage.errors import StorageError

BAD_CONFIGURATION_EXIT_STATUS = 2
FAILURE_EXIT_STATUS = 1

app = typer.Typer(
    name="dicom-node",
    help="A DICOM node that looks for intracranial aneurysms on head CT angiograms. For research use only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
audit = typer.Typer(
    help="What happened to every series: an append-only, hash-chained log.", no_args_is_help=True
)
app.add_typer(audit, name="audit")

CONFIG_VARIABLE = "DICOM_NODE_CONFIG"
Config = Annotated[Path, typer.Option("--config", "-c", envvar=CONFIG_VARIABLE, help="The settings file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
DEFAULT_CONFIG = Path("config.toml")


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
    as_json: AsJson = False,
) -> None:
    """Print what is waiting, running, done, refused and failed."""
    from dicom_node.commands.status import print_status

    _guarded(print_status, _settings(config), limit=limit, state=state, as_json=as_json)


@app.command()
def retry(
    series: Annotated[str | None, typer.Argument(help="Series Instance UID of a failed series.")] = None,
    all_failed: Annotated[bool, typer.Option("--all", help="Retry every failed series.")] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give failed series (or one of them) another set of tries."""
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
def send(
    folder: Annotated[Path, typer.Argument(help="DICOM files, looked for in subfolders too.")],
    host: Annotated[str, typer.Option(help="Host name or address of the peer.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="DICOM port of the peer.")] = 11112,
    called: Annotated[str, typer.Option("--called", help="AE title of the peer.")] = "GLIANET",
    calling: Annotated[str, typer.Option("--calling", help="AE title to send as.")] = "SENDER",
    as_json: AsJson = False,
) -> None:
    """Send DICOM files to a peer by C-STORE."""
    from dicom_node.commands.send import send_files

    complete = _guarded(send_files, folder, host, port, called, calling, as_json=as_json)
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


@audit.command(name="list")
def audit_list(
    config: Config = DEFAULT_CONFIG,
    series: Annotated[str | None, typer.Option(help="Only this Series Instance UID.")] = None,
    event: Annotated[str | None, typer.Option(help="Only this event, such as delivered.")] = None,
    limit: Annotated[int, typer.Option(help="How many rows, newest last.", min=0)] = 100,
    as_json: AsJson = False,
) -> None:
    """List audit rows."""
    from dicom_node.commands.audit import list_entries

    _guarded(list_entries, _settings(config), series, event, limit, as_json=as_json)


@audit.command(name="show")
def audit_show(
    series: Annotated[str, typer.Argument(help="Series Instance UID, as `dicom-node status` shows it.")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Print everything that happened to one series."""
    from dicom_node.commands.audit import show_series

    _guarded(show_series, _settings(config), series, as_json=as_json)


@audit.command(name="verify")
def audit_verify(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Check the hash chain: exit status 1 when a row was changed, removed or reordered."""
    from dicom_node.commands.audit import verify_chain

    intact = _guarded(verify_chain, _settings(config), as_json=as_json)
    raise typer.Exit(0 if intact else FAILURE_EXIT_STATUS)


@audit.command(name="export")
def audit_export(
    output: Annotated[Path, typer.Argument(help="File to write: .jsonl or .csv.")],
    config: Config = DEFAULT_CONFIG,
    since: Annotated[str | None, typer.Option(help="From this date or time on (ISO 8601, UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Before this date or time (ISO 8601, UTC).")] = None,
) -> None:
    """Write audit rows to a file as JSON Lines or CSV."""
    from dicom_node.commands.audit import export_entries

    _guarded(export_entries, _settings(config), output, since, until)


def _settings(config: Path) -> Settings:
    try:
        return load_settings(config)
    except ConfigurationError as error:
        typer.echo(f"{error.where}: the settings cannot be used:", err=True)
        for problem in error.problems:
            typer.echo(f"  {problem}", err=True)
        if not config.exists():
            typer.echo(f"name the settings file with --config, or in {CONFIG_VARIABLE}", err=True)
        raise typer.Exit(BAD_CONFIGURATION_EXIT_STATUS) from error


def _refuse_a_bad_start(settings: Settings) -> None:
    from dicom_node.commands.check_config import run_checks

    failed = [check for check in _guarded(run_checks, settings, echo=False) if check.failed]
    for check in failed:
        typer.echo(f"cannot start: {check.name}: {check.outcome}", err=True)
    if failed:
        raise typer.Exit(BAD_CONFIGURATION_EXIT_STATUS)


def _guarded(action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Run a command; an error of ours becomes one clear line, not a traceback."""
    try:
        return action(*arguments, **options)
    except (NodeError, StorageError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(FAILURE_EXIT_STATUS)


if __name__ == "__main__":
    app()
