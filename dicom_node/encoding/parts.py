"""Gathering results kind by kind, so that one kind that cannot be made need not cost the others."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

from dicom_node.encoding.part10 import EncodedObject
from dicom_node.errors import NodeError
from dicom_node.frames import DAMAGED

FAILURES = (NodeError, OSError, RuntimeError, MemoryError, *DAMAGED)
"""What encoding, or the check of what was encoded, may raise."""


@dataclass(frozen=True)
class Encoded:
    """Checked results, and for each wanted kind that is not as it should be among them, why."""

    objects: tuple[EncodedObject, ...]
    left_out: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class Parts:
    """Results as they come to be.

    A kind that fails ends the whole with its error; where `leave_out` is set, it is noted and the others go on.
    """

    def __init__(self, *, leave_out: bool) -> None:
        self._leave_out = leave_out
        self._objects: list[EncodedObject] = []
        self._left_out: dict[str, str] = {}

    @contextmanager
    def attempt(self, kinds: Collection[str]) -> Iterator[None]:
        """Within, objects of `kinds` are made and, once they are right, added."""
        try:
            yield
        except FAILURES as error:
            if not self._leave_out:
                raise
            self.note(kinds, str(error) or type(error).__name__)

    def note(self, kinds: Collection[str], why: str) -> None:
        """Say why there is nothing of `kinds`, or something else in its place."""
        for kind in kinds:
            self._left_out.setdefault(kind, why)

    def lacking(self, kinds: Collection[str]) -> list[str]:
        """Those of `kinds` that were left out."""
        return [kind for kind in kinds if kind in self._left_out]

    def add(self, *objects: EncodedObject) -> None:
        self._objects += objects

    def gathered(self) -> Encoded:
        """All that was added.

        Raises:
            NodeError: nothing was, because of what was left out.
        """
        if not self._objects and self._left_out:
            kinds = "; ".join(f"{kind}: {why}" for kind, why in self._left_out.items())
            raise NodeError(f"none of the results can be made ({kinds})", where="encoding")
        return Encoded(tuple(self._objects), MappingProxyType(dict(self._left_out)))

