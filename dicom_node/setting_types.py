"""What a setting may be: the types and checks that the tables of config.toml are made of."""

import re
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def _ae_title(value: str) -> str:
    """PS3.5 table 6.2-1, AE: 1 to 16 printable ASCII characters, no backslash, not only spaces."""
    if not re.fullmatch(r"[\x20-\x5b\x5d-\x7e]{1,16}", value) or value != value.strip():
        raise ValueError("1 to 16 ASCII characters without a backslash or spaces at the ends")
    return value


def _regular_expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"a Python regular expression ({error})") from error
    return value


def _keyword(value: str) -> str:
    """PS3.6 keywords; which one exists is checked by check-config, which knows the dictionary."""
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]+", value):
        raise ValueError("a DICOM keyword such as StudyDescription")
    return value


def _time_zone(value: str) -> str:
    try:
        return value and ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(
            'an IANA time zone such as "Europe/Vienna", or "" for that of this machine'
        ) from error


# TOML gives lists; a frozen setting is a tuple.
as_tuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
as_path = BeforeValidator(lambda value: Path(value) if isinstance(value, str) and value else value)
AETitle = Annotated[str, AfterValidator(_ae_title)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Keyword = Annotated[str, AfterValidator(_keyword)]
Pattern = Annotated[str, AfterValidator(_regular_expression)]
# VR LO; ASCII, which every character set of a source can hold
Description = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\x20-\x5b\x5d-\x7e]+$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86400)]


class Table(BaseModel):
    """One table of config.toml: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
