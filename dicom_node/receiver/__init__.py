"""The receiver's process: associations, spool and registrar. Never imports torch."""

from dicom_node.receiver.server import run_receiver

__all__ = ["run_receiver"]
