"""Mutations of a good data set, by which hypothesis looks for what nobody thought of."""

import struct
from collections.abc import Callable

from hypothesis import strategies as st

LENGTHS = (0, 1, 3, 0x7F, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
VRS = (b"UI", b"SQ", b"UN", b"OW", b"DS", b"IS", b"US", b"PN", b"AT", b"OB", b"\0\0", b"zz")
PATHS = (b"../../../etc/passwd", b"/etc/passwd", b"..", b"a/b", b"C:\\con", b"1.2.3/../4", b"\0", b"%s%n")

Mutation = Callable[[bytes], bytes]


def mutations() -> st.SearchStrategy[list[Mutation]]:
    """One to four mutations, to be made one after the other."""
    place = st.floats(0, 1, exclude_max=True)
    one = st.one_of(
        st.builds(_cut, place),
        st.builds(_flip, place, st.integers(1, 255)),
        st.builds(_overwrite, place, st.binary(min_size=1, max_size=16)),
        st.builds(_insert, place, st.binary(min_size=1, max_size=64)),
        st.builds(_remove, place, st.integers(1, 64)),
        st.builds(_repeat, place, st.integers(1, 200)),
        st.builds(_set_vr, place, st.sampled_from(VRS)),
        st.builds(_set_length, place, st.sampled_from(LENGTHS)),
        st.builds(_set_uid, place, st.sampled_from(PATHS)),
        st.builds(_nest, place, st.integers(1, 2000)),
    )
    return st.lists(one, min_size=1, max_size=4)


def mutate(data: bytes, made: list[Mutation]) -> bytes:
    """`data` after all of them."""
    for one in made:
        data = one(data)
    return data


def _at(data: bytes, place: float) -> int:
    return int(place * len(data))


def _cut(place: float) -> Mutation:
    return lambda data: data[: _at(data, place)]


def _flip(place: float, bits: int) -> Mutation:
    def change(data: bytes) -> bytes:
        at = _at(data, place)
        return data[:at] + bytes(byte ^ bits for byte in data[at : at + 1]) + data[at + 1 :]

    return change


def _overwrite(place: float, with_: bytes) -> Mutation:
    return lambda data: data[: _at(data, place)] + with_ + data[_at(data, place) + len(with_) :]


def _insert(place: float, what: bytes) -> Mutation:
    return lambda data: data[: _at(data, place)] + what + data[_at(data, place) :]


def _remove(place: float, size: int) -> Mutation:
    return lambda data: data[: _at(data, place)] + data[_at(data, place) + size :]


def _repeat(place: float, size: int) -> Mutation:
    return lambda data: data[: _at(data, place) + size] + data[_at(data, place) :]


def _set_vr(place: float, vr: bytes) -> Mutation:
    def change(data: bytes) -> bytes:
        starts = elements(data)
        at = starts[_at(bytes(len(starts)), place)] if starts else 0
        return data[: at + 4] + vr + data[at + 6 :]

    return change


def _set_length(place: float, length: int) -> Mutation:
    def change(data: bytes) -> bytes:
        starts = elements(data)
        at = starts[_at(bytes(len(starts)), place)] if starts else 0
        if data[at + 4 : at + 6] in LONG:
            return data[: at + 8] + struct.pack("<I", length) + data[at + 12 :]
        return data[: at + 6] + struct.pack("<H", length & 0xFFFF) + data[at + 8 :]

    return change


def _set_uid(place: float, path: bytes) -> Mutation:
    """The value of an element becomes a path; its length becomes that of the path."""

    def change(data: bytes) -> bytes:
        uids = [at for at in elements(data) if data[at + 4 : at + 6] == b"UI"]
        if not uids:
            return data
        at = uids[_at(bytes(len(uids)), place)]
        (length,) = struct.unpack_from("<H", data, at + 6)
        value = path + b"\0" * (len(path) % 2)
        return data[: at + 6] + struct.pack("<H", len(value)) + value + data[at + 8 + length :]

    return change


def _nest(place: float, depth: int) -> Mutation:
    sequence = struct.pack("<HH2sHI", 0x0031, 0x1001, b"SQ", 0, 0xFFFFFFFF)
    level = sequence + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)

    def change(data: bytes) -> bytes:
        starts = elements(data) or [0]
        at = starts[_at(bytes(len(starts)), place)]
        return data[:at] + level * depth + data[at:]

    return change


LONG = (
    b"OB",
    b"OD",
    b"OF",
    b"OL",
    b"OV",
    b"OW",
    b"SQ",
    b"SV",
    b"UC",
    b"UN",
    b"UR",
    b"UT",
    b"UV",
)  # PS3.5 7.1.2


def elements(data: bytes) -> list[int]:
    """Where the top-level elements of an Explicit VR Little Endian data set begin, as far as it can be followed."""
    starts, at = [], 0
    while at + 8 <= len(data):
        starts.append(at)
        if data[at + 4 : at + 6] in LONG:
            if at + 12 > len(data):
                break
            at += 12 + int.from_bytes(data[at + 8 : at + 12], "little")
        else:
            at += 8 + int.from_bytes(data[at + 6 : at + 8], "little")
    return starts
