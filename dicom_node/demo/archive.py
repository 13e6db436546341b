"""The demo's archive: a small storage SCP that writes what arrives and prints a JSON line for each object.

python -m dicom_node.demo.archive --port 11113 --ae-title ARCHIVE --folder archive
"""

import argparse
import json
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import cast

from pydicom.uid import (
    Comprehensive3DSRStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    EnhancedCTImageStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.instance_identity import UnreadableDataSet, identify_instance
from dicom_node.network_library import VERIFICATION, configure_pynetdicom
from dicom_node.receiver.contexts import TRANSFER_SYNTAXES, UNCOMPRESSED

SOP_CLASSES = (
    CTImageStorage,
    EnhancedCTImageStorage,
    SegmentationStorage,
    Comprehensive3DSRStorage,
    SecondaryCaptureImageStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    ParametricMapStorage,
    EncapsulatedPDFStorage,
)
SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000  # PS3.4 table B.2-1


def run_archive(host: str, port: int, ae_title: str, folder: Path, stop: threading.Event) -> None:
    """Write every object below `folder`/<StudyInstanceUID>/<SeriesInstanceUID>/ until `stop` is set."""
    configure_pynetdicom()
    folder.mkdir(parents=True, exist_ok=True)
    entity = AE(ae_title=ae_title)
    entity.require_called_aet = True
    entity.maximum_pdu_size = 131072
    contexts = [build_context(one, list(TRANSFER_SYNTAXES)) for one in SOP_CLASSES]
    contexts.append(build_context(VERIFICATION, list(UNCOMPRESSED)))
    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, _write, [folder])]
    started = entity.start_server((host, port), block=False, contexts=contexts, evt_handlers=handlers)
    server = cast(ThreadedAssociationServer, started)
    _tell({"listening": f"{host}:{server.server_address[1]}", "ae_title": ae_title})
    stop.wait()
    server.shutdown()
    for association in server.active_associations:
        association.abort()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A small DICOM archive for the demo.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="TCP port to listen on")
    parser.add_argument("--ae-title", default="ARCHIVE", help="AE title of the archive")
    parser.add_argument("--folder", type=Path, required=True, help="where objects are written")
    arguments = parser.parse_args()
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    run_archive(arguments.host, arguments.port, arguments.ae_title, arguments.folder, stop)


def _write(event: evt.Event, folder: Path) -> int:
    data_set = event.encoded_dataset(include_meta=False)
    try:
        identity = identify_instance(data_set, event.context.transfer_syntax)
        series = folder / identity.study_instance_uid / identity.series_instance_uid
        series.mkdir(parents=True, exist_ok=True)
        file = series / f"{identity.sop_instance_uid}.dcm"
        file.write_bytes(event.encoded_dataset())
    except UnreadableDataSet as error:
        _tell({"refused": str(error)})
        return CANNOT_UNDERSTAND
    except OSError as error:
        _tell({"refused": str(error)})
        return OUT_OF_RESOURCES
    _tell(
        {
            "file": str(file.relative_to(folder)),
            "sop_class_uid": identity.sop_class_uid,
            "sop_instance_uid": identity.sop_instance_uid,
            "series_instance_uid": identity.series_instance_uid,
            "study_instance_uid": identity.study_instance_uid,
            "from": event.assoc.requestor.ae_title,
        }
    )
    return SUCCESS


def _tell(what: dict[str, str]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
