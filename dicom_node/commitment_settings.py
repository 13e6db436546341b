"""Storage commitment that others ask of this node: whether it answers, and where it reports to."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, TypeAdapter, ValidationError

from dicom_node.setting_types import AETitle, Port, Table, as_tuple
from dicom_node.tls import TlsClient
from dicom_node.tls_settings import TlsSettings

_REQUESTER = re.compile(r"(?P<ae_title>.+)@(?P<host>\[[^\]\s]+\]|[^:@\s]+):(?P<port>[0-9]{1,5})(?P<tls> tls)?")
_AE_TITLE: TypeAdapter[str] = TypeAdapter(AETitle)
_PORT: TypeAdapter[int] = TypeAdapter(Port)


@dataclass(frozen=True)
class Requester:
    """Where the report for an AE title goes; what [receiver] sets for timeouts holds."""

    ae_title: str
    host: str
    port: int
    connect_timeout_s: float
    dimse_timeout_s: float
    security: TlsClient | None


def _requester(value: str) -> str:
    found = _REQUESTER.fullmatch(value)
    try:
        if found is None:
            raise ValueError
        _AE_TITLE.validate_python(found["ae_title"])
        _PORT.validate_python(int(found["port"]))
    except (ValueError, ValidationError) as error:
        accepted = 'AE title, host and port such as "CT1@192.0.2.7:104", or "CT1@ct1.example:2762 tls"'
        raise ValueError(accepted) from error
    return value


class CommitmentSettings(Table):
    offer: bool = True
    requesters: Annotated[tuple[Annotated[str, AfterValidator(_requester)], ...], as_tuple] = ()

    def find_requester(
        self, ae_title: str, connect_timeout_s: float, dimse_timeout_s: float, files: TlsSettings
    ) -> Requester | None:
        """The requester with this AE title; None where no address is known."""
        for text in self.requesters:
            found = _REQUESTER.fullmatch(text)
            if found is not None and found["ae_title"] == ae_title:
                host = found["host"].strip("[]")
                security = TlsClient(files, host) if found["tls"] else None
                port = int(found["port"])
                return Requester(ae_title, host, port, connect_timeout_s, dimse_timeout_s, security)
        return None

    @property
    def over_tls(self) -> list[str]:
        """The requesters that are reported to over TLS."""
        return [text for text in self.requesters if text.endswith(" tls")]
