"""Results of this node as files in a folder, beside their source, changes to them, and what is found of these."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from dicom_node.encoding.encode_results import EncodedObject, encode_results
from dicom_node.validation.verdicts import FolderVerdict
from tests.support.ct_source import CtSource
from tests.support.made_findings import WITH_KEY_IMAGES, Block, make_context, make_findings, read_source

SMALL = CtSource(slices=12, rows=24, columns=26)
BLOCKS: list[Block] = [((2, 6), (10, 16), (9, 15)), ((8, 9), (1, 4), (2, 5))]
SOURCE = "ct"

Change = Callable[[Dataset], None]


def make_result_folder(folder: Path, source: CtSource = SMALL, blocks: Sequence[Block] = BLOCKS) -> Path:
    """SEG, SR and key images in `folder`, named by their roles, and their source in `ct` below it."""
    series = read_source(folder / SOURCE, source)
    findings = make_findings(series, blocks)
    write_results(folder, encode_results(series, findings, make_context(), WITH_KEY_IMAGES).objects)
    return folder


def write_results(folder: Path, objects: Sequence[EncodedObject]) -> None:
    """Each object in a file that its role names."""
    folder.mkdir(parents=True, exist_ok=True)
    for encoded in objects:
        (folder / f"{encoded.role}.dcm").write_bytes(encoded.data)


def change_file(file: Path, change: Change) -> None:
    """Change a data set on disk; its file meta information is what `change` leaves."""
    dataset = dcmread(file)
    change(dataset)
    dataset.save_as(file, enforce_file_format=False)


def flip_bit(segmentation: Dataset, row: int, column: int, frame: int = 0) -> None:
    """Turn one voxel of a BINARY frame over (PS3.5 section 8.1.1: bits in a row, the first one lowest)."""
    place = (frame * segmentation.Rows + row) * segmentation.Columns + column
    data = np.frombuffer(segmentation.PixelData, np.uint8).copy()
    data[place // 8] ^= 1 << place % 8
    segmentation.PixelData = data.tobytes()


def items_of(document: Dataset, code: str) -> list[Dataset]:
    """The content items with this concept name, from the top."""
    found = []
    for item in document.get("ContentSequence", []):
        names = item.get("ConceptNameCodeSequence", [])
        found += [item] if [name.CodeValue for name in names] == [code] else []
        found += items_of(item, code)
    return found


def outcomes(verdict: FolderVerdict, outcome: str) -> dict[tuple[str, str], str]:
    """(file, check) -> sentence."""
    return {
        (one.file, check.name): check.sentence
        for one in verdict.objects
        for check in one.checks
        if check.outcome == outcome
    }
