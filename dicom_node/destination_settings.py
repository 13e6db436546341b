"""One PACS that gets results, and which of them it gets."""

from typing import Literal

from pydantic import Field, model_validator

from dicom_node.setting_types import AETitle, Port, Seconds, Table

ResultKind = Literal["seg", "sr", "key-image"]
Switch = Literal["profile", "on", "off"]
PROFILES: dict[str, frozenset[ResultKind]] = {
    "standard": frozenset(("seg", "sr")),
    "viewer-without-seg": frozenset(("sr", "key-image")),
    "archive": frozenset(("seg", "sr", "key-image")),
}
"""Which results a destination gets, by the name of its profile."""


class DestinationSettings(Table):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    ae_title: AETitle
    host: str = Field(min_length=1)
    port: Port
    connect_timeout_s: Seconds = 10.0
    dimse_timeout_s: Seconds = 60.0
    profile: Literal["standard", "viewer-without-seg", "archive"] = "standard"
    segmentation: Switch = "profile"
    report: Switch = "profile"
    key_images: Switch = "profile"

    @property
    def wanted(self) -> frozenset[ResultKind]:
        """The kinds of results that this destination is sent."""
        switches: dict[ResultKind, str] = {
            "seg": self.segmentation,
            "sr": self.report,
            "key-image": self.key_images,
        }
        return frozenset(
            kind
            for kind, switch in switches.items()
            if switch == "on" or (switch == "profile" and kind in PROFILES[self.profile])
        )

    @model_validator(mode="after")
    def _check_wanted(self) -> "DestinationSettings":
        if not self.wanted:
            raise ValueError("at least one of segmentation, report and key_images must be on")
        return self
