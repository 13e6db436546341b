"""`dicom-node purge`, `doctor`, `backup`, `restore`: the upkeep of the storage folder."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli_common import (
    DEFAULT_CONFIG,
    FAILURE_EXIT_STATUS,
    AsJson,
    Config,
    guarded,
    settings_from,
)

upkeep = typer.Typer()


@upkeep.command()
def purge(
    series: Annotated[
        str | None, typer.Argument(help="Series Instance UID: delete the images of this ended series now.")
    ] = None,
    results: Annotated[bool, typer.Option("--results", help="With a series: its results and findings too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Delete what the retention settings let go by now, or one ended series; while the node runs or not."""
    from dicom_node.commands.purge import purge_files

    if results and series is None:
        raise typer.BadParameter("--results goes with a Series Instance UID")
    guarded(purge_files, settings_from(config), series, with_results=results, dry_run=dry_run, as_json=as_json)


@upkeep.command()
def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be; the node must not run.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Read every image and compare its SHA-256.")] = False,
    backup_folder: Annotated[
        Path | None,
        typer.Option("--backup", help="With --repair: take the database from this backup where it is beyond repair."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Check database, files, audit chain and permissions. Status 1 if something is wrong and was not mended."""
    from dicom_node.commands.doctor import examine_node

    if backup_folder is not None and not repair:
        raise typer.BadParameter("--backup goes with --repair")
    settings = settings_from(config)
    sound = guarded(examine_node, settings, repair=repair, deep=deep, backup=backup_folder, as_json=as_json)
    raise typer.Exit(0 if sound else FAILURE_EXIT_STATUS)


@upkeep.command()
def backup(
    target: Annotated[Path, typer.Argument(help="Folder to be made for the backup.")],
    images: Annotated[
        bool, typer.Option("--images", help="All images too, not only those of series that have not ended.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Copy database, results, findings and images to a folder, while the node runs or not.

    Status 1 if a file was not there that the database names.
    """
    from dicom_node.commands.backup import back_up_node

    complete = guarded(back_up_node, settings_from(config), target, with_images=images, as_json=as_json)
    raise typer.Exit(0 if complete else FAILURE_EXIT_STATUS)


@upkeep.command()
def restore(
    source: Annotated[Path, typer.Argument(help="Folder that `dicom-node backup` has made.")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Check a backup and put it into the storage folder of the settings, which must hold no node yet."""
    from dicom_node.commands.restore import restore_node

    guarded(restore_node, settings_from(config), source, as_json=as_json)
