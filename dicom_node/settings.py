"""The settings: config.toml read once into frozen models that refuse what they do not know."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from dicom_node.atna_settings import AtnaSettings
from dicom_node.commitment_settings import CommitmentSettings
from dicom_node.destination_settings import DestinationSettings
from dicom_node.errors import ConfigurationError, SettingProblem
from dicom_node.receiver_settings import ReceiverSettings
from dicom_node.remote_settings import RemoteSettings, check_remotes
from dicom_node.retention_settings import RetentionSettings
from dicom_node.setting_types import (
    AETitle,
    Description,
    Keyword,
    Pattern,
    Seconds,
    Table,
    TimeZone,
    as_path,
    as_tuple,
)
from dicom_node.tls_settings import TlsSettings, check_tls
from glianet.weights_file import DETECTION_THRESHOLD, OUTLINE_THRESHOLD


class NodeSettings(Table):
    ae_title: AETitle = "GLIANET"
    time_zone: TimeZone = ""
    maximum_step_s: Seconds = 3600.0


class UrgentRule(Table):
    attribute: Keyword
    matches: Pattern


class SelectionSettings(Table):
    modalities: Annotated[tuple[str, ...], as_tuple] = ("CT",)
    refused_image_types: Annotated[tuple[str, ...], as_tuple] = (
        "LOCALIZER",
        "MIP",
        "MPR",
        "AVERAGE",
        "PROJECTION IMAGE",
        "VOLUME RENDERED",
        "CSA MPR",
        "CSAPARALLEL",
    )
    refused_body_parts: Annotated[tuple[str, ...], as_tuple] = (
        "CHEST",
        "ABDOMEN",
        "PELVIS",
        "HEART",
        "KNEE",
        "LEG",
        "FOOT",
        "HAND",
    )
    minimum_slices: int = Field(60, ge=1, le=10000)
    maximum_slices: int = Field(2500, ge=1, le=10000)
    maximum_slice_spacing_mm: float = Field(1.5, gt=0, le=10)
    maximum_axial_angle_degrees: float = Field(15.0, ge=0, le=45)
    contrast_minimum_hu: float = Field(150.0, ge=0, le=1000)
    contrast_maximum_hu: float = Field(700.0, ge=0, le=3000)
    contrast_minimum_volume_ml: float = Field(0.3, ge=0, le=1000)
    urgent: Annotated[tuple[UrgentRule, ...], as_tuple] = (
        UrgentRule(attribute="StudyDescription", matches="(?i)stat|emergency|stroke|trauma"),
        UrgentRule(attribute="RequestedProcedurePriority", matches="(?i)stat|high"),
    )

    @model_validator(mode="after")
    def _check_order(self) -> "SelectionSettings":
        if self.contrast_minimum_hu >= self.contrast_maximum_hu:
            raise ValueError("contrast_minimum_hu must be below contrast_maximum_hu")
        if self.minimum_slices > self.maximum_slices:
            raise ValueError("minimum_slices must not be above maximum_slices")
        return self


class AssemblySettings(Table):
    quiet_s: Seconds = 30.0
    announced_count_attributes: Annotated[tuple[Keyword, ...], as_tuple] = (
        "NumberOfSeriesRelatedInstances",
    )
    position_tolerance_mm: float = Field(0.1, gt=0, le=1)
    orientation_tolerance: float = Field(0.0001, gt=0, le=0.01)
    maximum_gantry_tilt_degrees: float = Field(0.1, gt=0, le=5)
    poll_s: Seconds = 0.25


def _names(value: object) -> object:
    """One name may stand for a list of one; "" is the list of none."""
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(value) if isinstance(value, list) else value


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"each axis once; {', '.join(sorted(twice))} stands twice")
    return names


Axis = Literal["head-foot", "front-back", "left-right"]


class ModelSettings(Table):
    weights: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_names)] = ()
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$")
    backend: Literal["auto", "torch", "openvino"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    flips: Annotated[tuple[Axis, ...], as_tuple, AfterValidator(_each_once)] = ()
    threads: int = Field(0, ge=0, le=1024)
    step: Literal[16, 24, 32, 48, 64, 96] = 48
    exact: bool = False
    threshold: float = Field(OUTLINE_THRESHOLD, gt=0, lt=1)
    detection_threshold: float = Field(DETECTION_THRESHOLD, gt=0, lt=1)
    minimum_lesion_mm3: float = Field(5.0, ge=0, le=10000)
    maximum_attempts: int = Field(3, ge=1, le=100)
    retry_delay_s: Seconds = 60.0
    lease_s: Seconds = 120.0
    maximum_series_s: Seconds = 3600.0

    @model_validator(mode="after")
    def _check_thresholds_are_in_order(self) -> "ModelSettings":
        if self.detection_threshold < self.threshold:
            raise ValueError(
                f"detection_threshold ({self.detection_threshold:g}) must not be below threshold ({self.threshold:g}): "
                "a lesion is outlined above the lower one and shown where enough of it is above the higher one"
            )
        return self


class ResultsSettings(Table):
    risk_map: bool = False
    report_refusals: Literal["none", "defects", "all"] = "defects"
    segmentation_series_number: int = Field(9801, ge=1, le=2147483647)
    report_series_number: int = Field(9802, ge=1, le=2147483647)
    key_image_series_number: int = Field(9803, ge=1, le=2147483647)
    probability_series_number: int = Field(9804, ge=1, le=2147483647)
    risk_map_series_number: int = Field(9805, ge=1, le=2147483647)
    presentation_state_series_number: int = Field(9806, ge=1, le=2147483647)
    pdf_series_number: int = Field(9807, ge=1, le=2147483647)
    segmentation_series_description: Description = "GLIA-Net aneurysm candidates (research)"
    report_series_description: Description = "GLIA-Net report (research)"
    key_image_series_description: Description = "GLIA-Net key images (research)"
    probability_series_description: Description = "GLIA-Net voxel scores (research)"
    risk_map_series_description: Description = "GLIA-Net risk map (research)"
    presentation_state_series_description: Description = "GLIA-Net outlines (research)"
    pdf_series_description: Description = "GLIA-Net key images as PDF (research)"

    @model_validator(mode="after")
    def _check_numbers_differ(self) -> "ResultsSettings":
        """Viewers list series by their numbers, and some take equal ones for one series."""
        numbers = {name: value for name, value in self if name.endswith("_series_number")}
        if len(set(numbers.values())) < len(numbers):
            raise ValueError(f"the series numbers must differ from one another, and are {numbers}")
        return self


class DeliverySettings(Table):
    first_delay_s: Seconds = 30.0
    maximum_delay_s: Seconds = 3600.0
    maximum_attempts: int = Field(48, ge=1, le=10000)
    lease_s: Seconds = 300.0


class StorageSettings(Table):
    folder: Annotated[Path, as_path] = Path("data")


class AuditSettings(Table):
    record_echoes: bool = False


class LogSettings(Table):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Settings(Table):
    """Everything that an administrator can set; `destination` is the TOML array of tables [[destination]]."""

    node: NodeSettings = NodeSettings()
    receiver: ReceiverSettings = ReceiverSettings()
    selection: SelectionSettings = SelectionSettings()
    assembly: AssemblySettings = AssemblySettings()
    model: ModelSettings = ModelSettings()
    results: ResultsSettings = ResultsSettings()
    delivery: DeliverySettings = DeliverySettings()
    commitment: CommitmentSettings = CommitmentSettings()
    destination: Annotated[tuple[DestinationSettings, ...], as_tuple] = ()
    remote: Annotated[tuple[RemoteSettings, ...], as_tuple] = ()
    tls: TlsSettings = TlsSettings()
    storage: StorageSettings = StorageSettings()
    retention: RetentionSettings = RetentionSettings()
    audit: AuditSettings = AuditSettings()
    atna: AtnaSettings = AtnaSettings()
    log: LogSettings = LogSettings()

    @property
    def destinations(self) -> tuple[DestinationSettings, ...]:
        return tuple(one.secured_by(self.tls) for one in self.destination)

    @model_validator(mode="after")
    def _check_names(self) -> "Settings":
        names = [destination.name for destination in self.destination]
        if len(set(names)) != len(names):
            raise ValueError("every [[destination]] needs a name of its own")
        check_remotes(self.remote, self.receiver.calling_ae_titles, self.receiver.tls_port)
        over_tls = [one.name for one in self.destination if one.tls] + self.commitment.over_tls
        check_tls(self.tls, self.receiver.tls_port, over_tls)
        return self


def load_settings(path: Path) -> Settings:
    """The settings in `path`; a relative storage folder or weights path is relative to the file.

    Raises:
        ConfigurationError: with every problem found, each with its key, the value given and what is accepted.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unreadable(
            path, "this file", f"a file that can be read is needed ({error.strerror})"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _unreadable(path, "this file", f"TOML in UTF-8 is needed ({error})") from error
    try:
        return _anchored(Settings.model_validate(tables), path.resolve().parent)
    except ValidationError as error:
        raise ConfigurationError(str(path), tuple(map(_problem, error.errors()))) from error


def _anchored(settings: Settings, base: Path) -> Settings:
    storage = settings.storage.model_copy(update={"folder": base / settings.storage.folder})
    weights = tuple(str(base / name) for name in settings.model.weights)
    model = settings.model.model_copy(update={"weights": weights})
    tls, atna = settings.tls.relative_to(base), settings.atna.relative_to(base)
    return settings.model_copy(update={"storage": storage, "model": model, "tls": tls, "atna": atna})


def _unreadable(path: Path, given: str, accepted: str) -> ConfigurationError:
    return ConfigurationError(str(path), (SettingProblem("(file)", given, accepted),))


def _problem(error: ErrorDetails) -> SettingProblem:
    key = _key(error["loc"])
    if error["type"] == "extra_forbidden":
        return SettingProblem(key, "this key", f"known keys here are {_known_keys(error['loc'][:-1])}")
    if error["type"] == "missing":
        return SettingProblem(key, "nothing", "a value is needed")
    accepted = _accepted(error)
    given = "this table" if isinstance(error["input"], (dict, Table)) else repr(error["input"])
    return SettingProblem(key or "(settings)", given, f"accepted: {accepted}")


def _accepted(error: ErrorDetails) -> str:
    """pydantic's words, where they need no knowledge of Python; ours where they do."""
    if error["type"] == "tuple_type":
        return 'a list such as ["CT1", "PACS"]'
    if error["type"] == "string_pattern_mismatch":
        return f"text that matches {error['ctx']['pattern']}"
    return error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")


def _key(location: Sequence[Any]) -> str:
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def _known_keys(location: Sequence[Any]) -> str:
    table: type[BaseModel] = Settings
    for part in location:
        if isinstance(part, int):
            continue
        annotation = table.model_fields[part].annotation
        arguments = getattr(annotation, "__args__", ())
        table = arguments[0] if arguments else annotation  # type: ignore[assignment]
    return ", ".join(table.model_fields)
