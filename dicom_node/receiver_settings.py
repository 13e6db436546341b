"""Where the node listens, for whom, and what a connection may cost."""

from typing import Annotated

from pydantic import Field, model_validator

from dicom_node.setting_types import AETitle, Port, Seconds, Table, as_tuple


class ReceiverSettings(Table):
    host: str = Field("127.0.0.1", min_length=1)
    port: Port = 11112
    tls_port: int = Field(0, ge=0, le=65535)
    accept_plain: bool = True
    calling_ae_titles: Annotated[tuple[AETitle, ...], as_tuple] = ()
    maximum_associations: int = Field(25, ge=1, le=200)
    maximum_pdu_bytes: int = Field(131072, ge=4096, le=1048576)
    acse_timeout_s: Seconds = 30.0
    dimse_timeout_s: Seconds = 60.0
    network_timeout_s: Seconds = 120.0
    minimum_free_gib: float = Field(5.0, ge=0.0, le=100000.0)

    @model_validator(mode="after")
    def _check_ports(self) -> "ReceiverSettings":
        if self.accept_plain and self.port == self.tls_port:
            raise ValueError("port and tls_port must differ")
        if not (self.accept_plain or self.tls_port):
            raise ValueError("accept_plain = false needs a tls_port: nothing would be listened on")
        return self
