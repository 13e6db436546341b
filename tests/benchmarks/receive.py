"""Reception, timed: 400 slices of 512 x 512 from DCMTK's storescu to the node's receiver and to a bare handler.

    python -m tests.benchmarks.receive [--slices 400] [--repetitions 5]

The bare handler is pynetdicom's shortest one: it writes `event.encoded_dataset()` to a file and says Success. Both run
as processes of their own with the same largest PDU, in turn, within one run; the node's receiver also makes every
instance durable and registers it. The time is that of storescu, from its start to its end.
"""

import argparse
import logging
import multiprocessing
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import structlog
from pydicom import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt

from dicom_node.network_library import configure_pynetdicom
from dicom_node.receiver.server import open_receiver
from tests.support.dicom_network import make_ct, make_settings

BOUND = 1.5  # largest acceptable ratio, node to bare handler
SIZE = 512
PYNETDICOM_PDU_BYTES = 16382

Server = Callable[[Connection, Path], None]


def run_bare(control: Connection, folder: Path, maximum_pdu_bytes: int = 131072) -> None:
    """A handler that only writes the encoded bytes."""
    configure_pynetdicom()
    entity = AE(ae_title="GLIANET")
    entity.add_supported_context(CTImageStorage, ExplicitVRLittleEndian)
    entity.maximum_pdu_size = maximum_pdu_bytes

    def write(event: evt.Event) -> int:
        (folder / f"{event.request.AffectedSOPInstanceUID}.dcm").write_bytes(event.encoded_dataset())
        return 0x0000

    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, write)])
    control.send(server.server_address[1])
    control.recv()
    server.shutdown()


def run_bare_small_pdu(control: Connection, folder: Path) -> None:
    """The same with pynetdicom's own default for the largest PDU."""
    run_bare(control, folder, PYNETDICOM_PDU_BYTES)


def run_node(control: Connection, folder: Path) -> None:
    """The node's receiver with its default settings, logging as a node in service does."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    with open_receiver(make_settings(folder)) as receiver:
        control.send(receiver.port)
        control.recv()


SERVERS: dict[str, Server] = {
    "bare handler": run_bare,
    "node's receiver": run_node,
    "bare handler, PDU 16382": run_bare_small_pdu,
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time the receiver against a bare pynetdicom handler.")
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="receive-", dir=arguments.folder) as name:
        folder = Path(name)
        series = make_series(folder / "series", arguments.slices)
        times: dict[str, list[float]] = {label: [] for label in SERVERS}
        for repetition in range(arguments.repetitions):
            for label, server in SERVERS.items():
                times[label].append(time_one(server, series, folder / "received"))
            print(
                f"{repetition + 1}: " + ", ".join(f"{label} {one[-1]:.2f} s" for label, one in times.items())
            )
    report(times, arguments.slices)


def make_series(folder: Path, slices: int) -> Path:
    """Slices of random pixels in Explicit VR Little Endian."""
    folder.mkdir()
    for number in range(1, slices + 1):
        dataset = make_ct(number, size=SIZE)
        dataset.PixelData = os.urandom(2 * SIZE * SIZE)
        dcmwrite(folder / f"{number:05}.dcm", dataset, enforce_file_format=True)
    return folder


def time_one(server: Server, series: Path, received: Path) -> float:
    """Seconds that storescu takes to send the series to a fresh server."""
    received.mkdir()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=server, args=(theirs, received))
    process.start()
    command = ["storescu", "-aec", "GLIANET", "+sd", "127.0.0.1", str(ours.recv()), str(series)]
    os.sync()  # so that one server does not pay for what another wrote
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - started
    ours.send("stop")
    process.join()
    expected = len(list(series.iterdir()))
    stored = len(list(received.rglob("*.dcm")))
    if stored != expected:
        raise SystemExit(f"{stored} of {expected} files arrived")
    shutil.rmtree(received)
    return seconds


def report(times: dict[str, list[float]], slices: int) -> None:
    """Medians, the ratio that is bounded, and that of the best times: an fsync waits for a free processor."""
    medians = {label: statistics.median(one) for label, one in times.items()}
    for label, median in medians.items():
        print(f"{label}: median {median:.2f} s, {min(times[label]):.2f} to {max(times[label]):.2f} s")
    node, bare = "node's receiver", "bare handler"
    ratio, of_best = medians[node] / medians[bare], min(times[node]) / min(times[bare])
    verdict = "within" if ratio <= BOUND else "above"
    print(f"{slices} slices of {SIZE} x {SIZE}: ratio of medians {ratio:.2f}, {verdict} the bound of {BOUND}")
    print(f"ratio of the best {of_best:.2f} (the better measure where other programs use the processors)")


if __name__ == "__main__":
    main()
