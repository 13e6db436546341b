"""The certificates of [tls] and [atna], as `dicom-node status` and `check-config` show them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rich.text import Text

from dicom_node.printable import printable
from dicom_node.settings import Settings
from dicom_node.tls import TlsClient, client_context, server_context
from dicom_node.tls_files import CertificateState, TlsError, Validity, certificate_states
from dicom_node.tls_settings import TlsSettings

_STYLES = {"ok": "", "warning": "yellow", "error": "red"}
_WORDS = {
    Validity.VALID: "valid until {day} ({left} days)",
    Validity.ENDS_SOON: "ends on {day}, in {left} days: renew it",
    Validity.EXPIRED: "expired on {day}: peers refuse it; renew it",
    Validity.NOT_YET: "is not valid yet: is this machine's clock right?",
}


@dataclass(frozen=True)
class SeenCertificate:
    """A certificate, or in place of it what is wrong with the files of a table, "tls" or "atna"."""

    table: str
    state: CertificateState | None
    error: str = ""

    @property
    def level(self) -> str:
        """As checks have it."""
        return "error" if self.state is None else level_of(self.state)

    @property
    def words(self) -> str:
        """What a person is told."""
        if self.state is None:
            return f"certificates of [{self.table}]: {self.error}"
        whose = "certificate" if self.state.own else "trusted authority"
        return f"{whose}: {self.state.subject} {describe_validity(self.state)}"


def describe_validity(state: CertificateState) -> str:
    """Whether the certificate is valid, and how long."""
    return _WORDS[state.validity].format(day=f"{state.expires_at:%Y-%m-%d}", left=state.days_left)


def level_of(state: CertificateState) -> str:
    """As checks have it; an authority that has expired may stand beside its successor, and is no error."""
    if state.validity == Validity.VALID:
        return "ok"
    return "error" if state.own and state.validity != Validity.ENDS_SOON else "warning"


def see_certificates(settings: Settings, now: datetime) -> tuple[SeenCertificate, ...]:
    """Each certificate, those of [atna] where they are other files, and what keeps the files from being used."""
    seen = _see("tls", settings.tls, now, server_context if settings.tls.complete else None)
    atna = settings.atna
    files = atna.files(settings.tls)
    if atna.enabled and atna.transport == "tls" and files != settings.tls:
        known = {one.state.file for one in seen if one.state is not None}
        of_atna = _see("atna", files, now, lambda used: client_context(TlsClient(used, atna.server_name or atna.host)))
        seen += [one for one in of_atna if one.state is None or one.state.file not in known]
    return tuple(seen)


def collect_certificates(seen: Sequence[SeenCertificate]) -> list[dict[str, Any]]:
    """For `status --json`: each certificate with its level; what is wrong with the files is one with an error."""
    return [
        {"level": one.level, "table": one.table, **(asdict(one.state) if one.state else {"error": one.error})}
        for one in seen
    ]


def describe_certificates(seen: Sequence[SeenCertificate]) -> Iterator[Text]:
    """A line for the node's own certificates, and for each authority that ends."""
    for one in seen:
        if one.state is None or one.state.own or one.state.validity != Validity.VALID:
            yield Text(printable(one.words), style=_STYLES[one.level])


def _see(
    table: str, files: TlsSettings, now: datetime, use: Callable[[TlsSettings], object] | None
) -> list[SeenCertificate]:
    """`use` does with them what the next start or connection does: it finds a key that is another certificate's."""
    seen: list[SeenCertificate] = []
    try:
        seen += [SeenCertificate(table, state) for state in certificate_states(files, now)]
        if use is not None:
            use(files)
    except TlsError as error:
        seen.append(SeenCertificate(table, None, str(error)))
    return seen
