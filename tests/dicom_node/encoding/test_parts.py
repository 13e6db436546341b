import pytest

from dicom_node.encoding.part10 import EncodedObject
from dicom_node.encoding.parts import Parts
from dicom_node.errors import NodeError


def made(kind: str) -> EncodedObject:
    return EncodedObject(kind, "1.2", "1.3", "1.4", b"", kind)


def test_a_kind_that_fails_ends_the_whole() -> None:
    parts = Parts(leave_out=False)
    with pytest.raises(NodeError, match="broken"), parts.attempt(["pdf"]):
        raise NodeError("broken", where="here")


def test_a_kind_that_fails_is_noted_and_left_out() -> None:
    parts = Parts(leave_out=True)
    with parts.attempt(["sr"]):
        parts.add(made("sr"))
    with parts.attempt(["pdf", "key-image"]):
        with parts.attempt(["pdf"]):
            raise MemoryError
        raise ValueError("no picture")
    assert parts.lacking(["sr", "pdf", "key-image"]) == ["pdf", "key-image"]
    encoded = parts.gathered()
    assert [one.kind for one in encoded.objects] == ["sr"]
    assert encoded.left_out == {"pdf": "MemoryError", "key-image": "no picture"}, "the first reason stays"


def test_where_everything_fails_there_is_an_error_with_the_reasons() -> None:
    parts = Parts(leave_out=True)
    with parts.attempt(["sr"]):
        raise NodeError("broken", where="here")
    with pytest.raises(NodeError, match="none of the results can be made .sr: here: broken."):
        parts.gathered()


def test_a_stop_is_no_failure_of_a_kind() -> None:
    with pytest.raises(KeyboardInterrupt), Parts(leave_out=True).attempt(["sr"]):
        raise KeyboardInterrupt
