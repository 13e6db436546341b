"""What the commands of `dicom-node` share: the settings file, and errors as one clear line."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from dicom_node.errors import ConfigurationError, NodeError
from dicom_node.printable import printable
from dicom_node.settings import Settings, load_settings
from storage.errors import StorageError

BAD_CONFIGURATION_EXIT_STATUS = 2
FAILURE_EXIT_STATUS = 1
CONFIG_VARIABLE = "DICOM_NODE_CONFIG"
DEFAULT_CONFIG = Path("config.toml")
Config = Annotated[Path, typer.Option("--config", "-c", envvar=CONFIG_VARIABLE, help="The settings file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def settings_from(config: Path) -> Settings:
    """The settings; where they cannot be used the command ends and says what is wrong."""
    try:
        return load_settings(config)
    except ConfigurationError as error:
        typer.echo(f"{error.where}: the settings cannot be used:", err=True)
        for problem in error.problems:
            typer.echo(f"  {problem}", err=True)
        if not config.exists():
            typer.echo(f"name the settings file with --config, or in {CONFIG_VARIABLE}", err=True)
        raise typer.Exit(BAD_CONFIGURATION_EXIT_STATUS) from error


def guarded(action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Run a command; an error of ours becomes one clear line, not a traceback."""
    try:
        return action(*arguments, **options)
    except (NodeError, StorageError) as error:
        typer.echo(printable(f"error: {error}"), err=True)
        sys.exit(FAILURE_EXIT_STATUS)
