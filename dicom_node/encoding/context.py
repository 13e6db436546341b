"""What a result says about its own making, beside the images and the findings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType

from dicom_node.identifiers import derive_uid
from dicom_node.settings import ResultsSettings

MANUFACTURER = "GLIA-Net node project (research)"
RESEARCH_USE = (
    "For research use only. Not a medical device: not for diagnosis, treatment or other clinical decisions."
)


@dataclass(frozen=True)
class EarlierReport:
    """A report of an earlier state of the series, or of an analysis with other weights, that went out before."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True)
class ResultContext:
    """Who made a result, when, and from which revision of the series.

    `concluded_at` is an aware time; results show it in the source's TimezoneOffsetFromUTC where that is
    given, else in `time_zone`. `fingerprint` stands for everything that decides the findings beside the
    images, `instances_digest` for the set of images: both enter every UID, and so does `repetition`, which counts
    how often this very analysis came back after another one. `weights_sha256` is empty where no analysis took place.
    `replaced`: by the kind of a report, the reports that it replaces; `replaces_results`: whether other results of the
    series went out before.
    """

    concluded_at: datetime
    fingerprint: str
    algorithm_name: str
    algorithm_version: str
    weights_sha256: str
    results: ResultsSettings
    node_ae_title: str
    instances_digest: str
    time_zone: tzinfo = UTC
    repetition: int = 0
    replaced: Mapping[str, tuple[EarlierReport, ...]] = field(default_factory=lambda: MappingProxyType({}))
    replaces_results: bool = False

    @property
    def device_uid(self) -> str:
        """Device UID (0018,1002): another one for another node, version or set of weights (IHE AIR)."""
        return derive_uid(
            "device", self.node_ae_title, self.algorithm_name, self.algorithm_version, self.weights_sha256
        )

    @property
    def software_versions(self) -> list[str]:
        """Software Versions (0018,1020): the program's and the weights', 64 characters each at most."""
        weights = [f"weights {self.weights_sha256[:16]}"] if self.weights_sha256 else []
        return [self.algorithm_version, *weights]

    def result_uid(self, role: str, level: str, source_series_uid: str) -> str:
        """The Series or SOP Instance UID of a result: the same for the same images and analysis."""
        again = [f"again {self.repetition}"] if self.repetition else []
        return derive_uid(level, role, source_series_uid, self.instances_digest, self.fingerprint, *again)

    def tracking_uid(self, number: int, source_series_uid: str) -> str:
        """The Tracking UID that lesion `number` has in the SEG and in the SR."""
        return self.result_uid(f"lesion {number}", "tracking", source_series_uid)


def tracking_identifier(number: int) -> str:
    """The name that lesion `number` has in the SEG and in the SR."""
    return f"Aneurysm candidate {number}"
