"""`dicom-node audit`: what happened, and the proof of it."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli_common import DEFAULT_CONFIG, FAILURE_EXIT_STATUS, AsJson, Config, guarded, settings_from

audit = typer.Typer(
    help="What happened to every series: an append-only, hash-chained log.", no_args_is_help=True
)


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

    guarded(list_entries, settings_from(config), series, event, limit, as_json=as_json)


@audit.command(name="show")
def audit_show(
    series: Annotated[str, typer.Argument(help="Series Instance UID, as `dicom-node status` shows it.")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Print everything that happened to one series."""
    from dicom_node.commands.audit import show_series

    guarded(show_series, settings_from(config), series, as_json=as_json)


@audit.command(name="verify")
def audit_verify(
    file: Annotated[
        Path | None, typer.Argument(help="An export (its .head beside it) or a head, checked without a node.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="The node's public key, as `audit key` wrote it.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Hold the log against this head, signed earlier.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Check the hash chain: exit status 1 when a row was changed, removed or reordered."""
    from dicom_node.commands.audit_verify import verify_export, verify_log

    if file is not None and against is not None:
        raise typer.BadParameter("name a file, or a head for the log to be held against")
    if file is not None:
        intact = guarded(verify_export, file, key, as_json=as_json)
    else:
        intact = guarded(verify_log, settings_from(config), against, key, as_json=as_json)
    raise typer.Exit(0 if intact else FAILURE_EXIT_STATUS)


@audit.command(name="export")
def audit_export(
    output: Annotated[Path | None, typer.Argument(help="File to write: .jsonl or .csv.")] = None,
    config: Config = DEFAULT_CONFIG,
    since: Annotated[
        str | None, typer.Option("--since", "--from", help="From this date or time on (ISO 8601, UTC).")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", "--to", help="Before this date or time (ISO 8601, UTC).")
    ] = None,
    named: Annotated[Path | None, typer.Option("--output", help="The same as the argument.")] = None,
) -> None:
    """Write audit rows to a file as JSON Lines or CSV, with their signed head beside it."""
    from dicom_node.commands.audit_export import export_entries

    if (output is None) == (named is None):
        raise typer.BadParameter("name one file to write")
    guarded(export_entries, settings_from(config), output or named, since, until)


@audit.command(name="head")
def audit_head(
    output: Annotated[Path, typer.Argument(help="File to write, such as glianet.head.")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Write the signed head of the whole log, to be kept elsewhere."""
    from dicom_node.commands.audit_export import sign_head

    guarded(sign_head, settings_from(config), output)


@audit.command(name="key")
def audit_key(
    output: Annotated[Path | None, typer.Option(help="Write the public key to this file.")] = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Print the public key that heads are signed with, and its fingerprint."""
    from dicom_node.commands.audit_export import print_key

    guarded(print_key, settings_from(config), output)


@audit.command(name="patient")
def audit_patient(
    patient_id: Annotated[
        str, typer.Option("--patient-id", prompt="Patient ID", help="Asked for where it is not given.")
    ],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Print the hash that stands for a patient in the log and in audit messages, and the series that bear it."""
    from dicom_node.commands.audit_export import print_patient_hash

    guarded(print_patient_hash, settings_from(config), patient_id)
