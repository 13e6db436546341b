"""One PACS that gets results, which of them it gets, and in which form."""

from typing import Literal

from pydantic import Field, PrivateAttr, model_validator

from dicom_node.result_kinds import (
    KEY_IMAGES,
    PDF,
    PRESENTATION_STATE,
    PROBABILITY,
    RISK_MAP,
    RISK_MAP_AS_SEGMENTATION,
    ReportForm,
    RiskMapForm,
    SegmentationForm,
    SegmentationType,
    report_kind,
)
from dicom_node.setting_types import AETitle, Port, Seconds, Table
from dicom_node.tls import TlsClient
from dicom_node.tls_settings import TlsSettings

Switch = Literal["profile", "on", "off"]
Profile = Literal["standard", "viewer-without-seg", "archive"]
TransferSyntax = Literal["explicit-little-endian", "implicit-little-endian", "deflated", "rle-lossless"]
SWITCHES = (
    "segmentation",
    "report",
    "key_images",
    "presentation_state",
    "probability",
    "risk_map",
    "pdf",
)
PROFILES: dict[Profile, frozenset[str]] = {
    "standard": frozenset(("segmentation", "report")),
    "viewer-without-seg": frozenset(("report", "key_images")),
    "archive": frozenset(SWITCHES),
}
"""The switches that are on, by the name of a profile."""


class DestinationSettings(Table):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    ae_title: AETitle
    host: str = Field(min_length=1)
    port: Port
    connect_timeout_s: Seconds = 10.0
    dimse_timeout_s: Seconds = 60.0
    tls: bool = False
    tls_name: str = ""
    storage_commitment: bool = False
    commitment_wait_s: float = Field(2.0, gt=0, le=15)  # a stop waits for it too
    commitment_report_s: Seconds = 3600.0
    commitment_requests: int = Field(24, ge=1, le=1000)
    transfer_syntax: TransferSyntax = "explicit-little-endian"
    profile: Profile = "standard"
    segmentation: Switch = "profile"
    report: Switch = "profile"
    key_images: Switch = "profile"
    presentation_state: Switch = "profile"
    probability: Switch = "profile"
    risk_map: Switch = "profile"
    pdf: Switch = "profile"
    segmentation_type: SegmentationType = "binary"
    segmentation_per_lesion: bool = False
    omit_empty_frames: bool = True
    report_form: ReportForm = "comprehensive-3d"
    risk_map_form: RiskMapForm = "parametric-map"
    _files: TlsSettings = PrivateAttr(default_factory=TlsSettings)

    @property
    def security(self) -> TlsClient | None:
        """How it is connected to over TLS, with the name that its certificate must bear; None: plain."""
        return TlsClient(self._files, self.tls_name or self.host) if self.tls else None

    def secured_by(self, files: TlsSettings) -> "DestinationSettings":
        """The same, with the files of [tls], which are those of every destination."""
        secured = self.model_copy()
        secured._files = files
        return secured

    @property
    def wanted(self) -> frozenset[str]:
        """The kinds of results that this destination is sent, by the names of `result_kinds`."""
        kinds = self._kinds()
        return frozenset(kind for switch, kind in kinds.items() if self._is_on(switch))

    def _kinds(self) -> dict[str, str]:
        """For each switch, the name of what it sends in the form that is set."""
        form = SegmentationForm(
            kind=self.segmentation_type,
            apart=self.segmentation_per_lesion,
            empty_frames=not self.omit_empty_frames,
        )
        return {
            "segmentation": form.result_kind,
            "report": report_kind(form, self.report_form),
            "key_images": KEY_IMAGES,
            "presentation_state": PRESENTATION_STATE,
            "probability": PROBABILITY,
            "risk_map": RISK_MAP if self.risk_map_form == "parametric-map" else RISK_MAP_AS_SEGMENTATION,
            "pdf": PDF,
        }

    def _is_on(self, switch: str) -> bool:
        value = getattr(self, switch)
        return value == "on" or (value == "profile" and switch in PROFILES[self.profile])

    @model_validator(mode="after")
    def _check_wanted(self) -> "DestinationSettings":
        if not self.wanted:
            raise ValueError(f"at least one of {', '.join(SWITCHES)} must be on")
        return self
