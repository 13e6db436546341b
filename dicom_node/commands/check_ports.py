"""The part of `check-config` that asks about the ports: whether they are free, or this node answers there."""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

from dicom_node.commands.checks import Check
from dicom_node.commands.own_ports import why_unanswered
from dicom_node.commands.running_node import find_running_node
from dicom_node.settings import Settings

PASSING = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
_ADVICE = {
    errno.EADDRINUSE: "is a node running already, or another program?",
    errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 listens on all that it has",
    errno.EACCES: "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); choose a higher one or grant it",
}


def check_ports(settings: Settings) -> Iterator[Check]:
    """Each port that is to be listened on; while the node runs, whether it answers there."""
    receiver = settings.receiver
    running = _running_on(settings.storage.folder)
    for name, port, secured in (("port", receiver.port, False), ("TLS port", receiver.tls_port, True)):
        if not (receiver.tls_port if secured else receiver.accept_plain):
            continue
        if running is None:
            yield _check_free(name, port, settings)
        else:
            yield _check_answer(name, port, settings, running, secured=secured)


def _running_on(folder: Path) -> int | None:
    try:
        return find_running_node(folder)
    except OSError:  # not ours to read: the check of the folder says so
        return None


def _check_answer(name: str, port: int, settings: Settings, running: int, *, secured: bool) -> Check:
    """No error here prevents a start: that the node runs does, and `serve` says so."""
    where = f"{settings.receiver.host}:{port}"
    why = why_unanswered(settings, secured=secured)
    if why is None:
        return Check(name, "ok", f"{where} is listened on by this node, which runs (process {running})")
    said = f"nobody answers at {where} as this node, though it runs (process {running}): {why}; see its log"
    return Check(name, "error", said, prevents_start=False, may_pass=True)


def _check_free(name: str, port: int, settings: Settings) -> Check:
    where = f"{settings.receiver.host}:{port}"
    try:
        _listen_once(settings.receiver.host, port)
    except socket.gaierror as error:
        said = f"{where} cannot be listened on: receiver.host is no address ({error.strerror})"
        return Check(name, "error", said, may_pass=error.errno == socket.EAI_AGAIN)
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "see receiver.host and the ports")
        said = f"{where} cannot be listened on ({error.strerror}): {advice}"
        return Check(name, "error", said, may_pass=error.errno in PASSING)
    return Check(name, "ok", f"{where} is free, AE title {settings.node.ae_title}")


def _listen_once(host: str, port: int) -> None:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
