"""TCP ports that were free a moment ago."""

import socket


def free_port() -> int:
    """A port of the loopback interface that nobody listens on; each call another one, as the kernel deals them out."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
