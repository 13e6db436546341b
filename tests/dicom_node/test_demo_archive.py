"""The demo's archive as the process that it is."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from pydicom.uid import Comprehensive3DSRStorage, SecondaryCaptureImageStorage, SegmentationStorage

from dicom_node.delivery import echo
from dicom_node.send import RemoteNode, send_folder
from tests.support.dicom_network import DEADLINE_S, STUDY, data_set_of, make_ct, write_ct


def test_archive_writes_what_arrives_and_tells(tmp_path: Path) -> None:
    files = {
        str(dataset.SOPInstanceUID): write_ct(tmp_path / "sent", dataset)
        for dataset in (
            make_ct(1),
            make_ct(2, sop_class=SegmentationStorage, series=f"{STUDY}.2"),
            make_ct(3, sop_class=Comprehensive3DSRStorage, series=f"{STUDY}.3"),
            make_ct(4, sop_class=SecondaryCaptureImageStorage, series=f"{STUDY}.4"),
        )
    }
    command = [sys.executable, "-m", "dicom_node.demo.archive", "--port", "0", "--ae-title", "DEMO"]
    command += ["--folder", str(tmp_path / "archive")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(json.loads(process.stdout.readline())["listening"].rpartition(":")[2])
            assert echo(RemoteNode("DEMO", "127.0.0.1", port), "CT1").ok
            assert send_folder(tmp_path / "sent", "127.0.0.1", port, "DEMO", "CT1").complete
            told = [json.loads(process.stdout.readline()) for _ in files]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0
    assert {one["sop_instance_uid"] for one in told} == set(files)
    for one in told:
        uid = one["sop_instance_uid"]
        assert one["file"] == f"{STUDY}/{one['series_instance_uid']}/{uid}.dcm"
        assert one["from"] == "CT1"
        assert data_set_of(tmp_path / "archive" / one["file"]) == data_set_of(files[uid])
