"""Encoding, timed: from findings and the files of a series to checked results, all that the profile "archive" has.

    python -m tests.benchmarks.encode [--slices 400] [--lesions 3]

Headers are read, the series inspected, pixels decoded, objects encoded and checked, as publishing does it for a
destination with the profile "archive". The peak is that of the process above where it stood with everything imported.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from dicom_node.destination_settings import DestinationSettings
from dicom_node.dicom_file import read_headers
from dicom_node.encoding.encode_results import Maps, encode_results
from dicom_node.read_series import inspect_series
from dicom_node.settings import AssemblySettings
from glianet.findings import Findings
from glianet.scores import RiskGrid
from glianet.tiling import patch_starts
from tests.support.ct_source import CtSource, write_ct
from tests.support.made_findings import ANY_CT, make_context, make_findings, many_blocks

SIZE = 512
STEP = 15
ARCHIVE = DestinationSettings(name="archive", ae_title="ARCHIVE", host="localhost", port=104, profile="archive")
KIB = 1024


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time the encoding of all results of a series.")
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--lesions", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="encode-") as name:
        wanted = CtSource(slices=arguments.slices, rows=SIZE, columns=SIZE)
        paths = write_ct(Path(name), wanted)
        before = _peak_mb()
        started = time.perf_counter()
        source = inspect_series(read_headers(paths), ANY_CT, AssemblySettings(), conflicting=False)
        read = time.perf_counter()
        findings = make_findings(source, many_blocks(source, arguments.lesions))
        maps = _maps(findings)
        without = _seconds(lambda: encode_results(source, findings, make_context()))
        archive = _seconds(lambda: encode_results(source, findings, make_context(), ARCHIVE.wanted, maps))
    volume_mb = arguments.slices * SIZE * SIZE * 2 / KIB**2
    print(f"{arguments.slices} slices of {SIZE} x {SIZE}, {arguments.lesions} lesions")
    print(f"headers read and inspected: {read - started:.2f} s")
    print(f"SEG and SR encoded and checked: {without:.2f} s")
    print(f"all of the profile archive, pixels decoded: {archive:.2f} s")
    print(f"peak: {_peak_mb() - before:.0f} MB, of which volume and labels {2 * volume_mb:.0f} MB")


def _maps(findings: Findings) -> Maps:
    """Scores of the lesions, and risks at windows of 96 voxels that overlap by 84 %."""
    scores = np.where(findings.labels > 0, np.uint8(200), np.uint8(0))
    depth, height, width = (patch_starts(length, step=STEP) for length in findings.labels.shape)
    values = np.random.default_rng(1).random((len(depth), len(height), len(width)), np.float32)
    return Maps(scores, RiskGrid(values, (depth, height, width)))


def _seconds(work) -> float:  # type: ignore[no-untyped-def]
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB


if __name__ == "__main__":
    main()
