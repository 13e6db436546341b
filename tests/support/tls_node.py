"""A receiver with a TLS port: who comes to it, and which rows it writes of them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dicom_node.send import RemoteNode
from dicom_node.tls import TlsClient
from dicom_node.tls_settings import TlsSettings
from storage.audit import AuditEntry, entries
from tests.support.certificates import Authority, as_table
from tests.support.dicom_network import DEADLINE_S, Node, eventually, running_node
from tests.support.ports import free_port


@contextmanager
def tls_node(folder: Path, authority: Authority, **tables: Any) -> Iterator[Node]:
    """A receiver with a plain and a TLS port."""
    receiver = {"tls_port": free_port(), **tables.pop("receiver", {})}
    with running_node(folder, receiver=receiver, tls=as_table(authority.issue("node")), **tables) as node:
        yield node


def over_tls(node: Node, files: TlsSettings, name: str = "localhost") -> RemoteNode:
    return replace(node.peer(), port=node.receiver.tls_port, security=TlsClient(files, name))


def connect(node: Node) -> socket.socket:
    return socket.create_connection(("127.0.0.1", node.receiver.tls_port), DEADLINE_S)


def rows(node: Node, event: str) -> list[AuditEntry]:
    node.wait_until_written()
    return list(entries(node.db, event=event))


def refusals(node: Node) -> list[str]:
    assert eventually(lambda: bool(rows(node, "tls-refused")))
    return [str(row.detail["reason"]) for row in rows(node, "tls-refused")]
