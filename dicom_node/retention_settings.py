"""[retention]: how long images, results and findings stay in the storage folder."""

from pydantic import Field

from dicom_node.setting_types import Seconds, Table

LONGEST_DAYS = 36500.0
LARGEST_GIB = 1e6


class RetentionSettings(Table):
    """0 keeps for ever. Only series that have ended well are deleted, and audit rows never."""

    drop_source_when_delivered: bool = False
    source_days: float = Field(0.0, ge=0, le=LONGEST_DAYS)
    source_gib: float = Field(0.0, ge=0, le=LARGEST_GIB)
    spare_gib: float = Field(5.0, ge=0, le=LARGEST_GIB)
    results_days: float = Field(0.0, ge=0, le=LONGEST_DAYS)
    interval_s: Seconds = 60.0
