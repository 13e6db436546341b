"""Taking turns on an association: no message of ours goes out in the middle of the answer to another."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pynetdicom.association import Association


class MessageTurns:
    """Serves the requests of a peer one at a time; a thread that has something to send waits for its turn.

    pynetdicom cuts messages into pieces in the thread that sends them, and two threads would mix their pieces.
    """

    def __init__(self, association: Association) -> None:
        self.association = association
        self.last_request = ""  # the kind of the request that was served last, such as "N-ACTION"
        self._lock = threading.Lock()
        self._serve_now = association._serve_request
        association._serve_request = self._serve  # type: ignore[method-assign, assignment]

    @contextmanager
    def turn(self) -> Iterator[None]:
        """What was being served has been answered, and nothing is served inside the block."""
        with self._lock:
            yield

    @classmethod
    def of(cls, association: Association) -> "MessageTurns | None":
        """Those that were begun on the association, if any: it alone keeps them, and they end with it."""
        serving = getattr(association._serve_request, "__self__", None)
        return serving if isinstance(serving, cls) else None

    def _serve(self, message: Any, context_id: int) -> None:
        with self._lock:
            self._serve_now(message, context_id)
            if message.is_valid_request:
                self.last_request = type(message).__name__.replace("_", "-")
