"""Log lines: structured, to standard error, as text for people or JSON for programs."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pydicom
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from dicom_node.settings import LogSettings

CHATTY_LIBRARIES = ("pynetdicom", "alembic", "pydicom", "highdicom")
REPEATING_LIBRARY = (
    "pynetdicom.transport"  # its only errors are connections that fail: our own lines say which and why
)


def set_up_logs(settings: LogSettings, process: str) -> None:
    """Send structlog and the standard library's loggers (pynetdicom, alembic) to standard error.

    Every line names the node's process, from whichever thread it comes.
    """
    shared: list[Processor] = [
        _add_process(process),
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer = structlog.processors.JSONRenderer() if settings.format == "json" else _console()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[*_strip(), renderer], foreign_pre_chain=shared)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for chatty in CHATTY_LIBRARIES:
        logging.getLogger(chatty).setLevel(logging.ERROR)
    logging.getLogger(REPEATING_LIBRARY).setLevel(logging.CRITICAL)
    _keep_names_out()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


@contextmanager
def logs_held_back() -> Iterator[None]:
    """For a command that says itself what it has done, and whose output a program may read."""
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        if before is None:
            structlog.reset_defaults()
        else:
            structlog.configure(**before)


def _keep_names_out() -> None:
    """pydicom's warnings quote the values that they complain of, and a log must hold no patient's name."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    warnings.filterwarnings("ignore", module="pydicom")


def _add_process(process: str) -> Processor:
    def add(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        line.setdefault("process", process)
        return line

    return add


def _console() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), sort_keys=False)


def _strip() -> list[structlog.typing.Processor]:
    return [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
