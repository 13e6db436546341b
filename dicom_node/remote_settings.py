"""Who may send: an AE title with the addresses and certificates that go with it."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from dicom_node.setting_types import AETitle, Table, as_tuple


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError as error:
        raise ValueError(f'an address or a range such as "192.0.2.7" or "192.0.2.0/24" ({error})') from error


Network = Annotated[str, AfterValidator(_network)]


class RemoteSettings(Table):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    ae_title: AETitle
    networks: Annotated[tuple[Network, ...], as_tuple] = ()
    tls: bool = False
    certificate_names: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], as_tuple] = ()

    @model_validator(mode="after")
    def _check_tls(self) -> "RemoteSettings":
        if self.certificate_names and not self.tls:
            raise ValueError("certificate_names needs tls = true: without TLS there is no certificate")
        return self


def check_remotes(remotes: Sequence[RemoteSettings], calling_ae_titles: Sequence[str], tls_port: int) -> None:
    """Raises ValueError where remotes and the receiver's settings contradict one another."""
    problems = list(_contradictions(remotes, calling_ae_titles, tls_port))
    if problems:
        raise ValueError("; ".join(problems))


def _contradictions(
    remotes: Sequence[RemoteSettings], calling_ae_titles: Sequence[str], tls_port: int
) -> Iterator[str]:
    names = [one.name for one in remotes]
    if len(set(names)) != len(names):
        yield "every [[remote]] needs a name of its own"
    for one in remotes:
        if one.ae_title in calling_ae_titles:
            yield (
                f"{one.ae_title} stands in receiver.calling_ae_titles, from any address, and in [[remote]] {one.name}:"
                " it may stand in one of them"
            )
        if one.tls and not tls_port:
            yield f"[[remote]] {one.name} has tls = true, which needs receiver.tls_port"
