"""Settings: everything wrong is said at once, with key, value and what is accepted."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from dicom_node.destination_settings import DestinationSettings
from dicom_node.errors import ConfigurationError
from dicom_node.settings import ResultsSettings, Settings, load_settings

REPOSITORY = Path(__file__).parents[2]


def write(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(folder: Path, text: str) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(folder, text))
    return {problem.key: str(problem) for problem in caught.value.problems}


def test_shipped_config_holds_the_defaults() -> None:
    """What the file says is what the code would do without it; the destination is the example."""
    shipped = load_settings(REPOSITORY / "config.toml").model_dump()
    default = Settings().model_dump()
    assert len(shipped.pop("destination")) == 1
    assert default.pop("destination") == ()
    assert shipped["storage"].pop("folder") == REPOSITORY / default["storage"].pop("folder")
    assert shipped == default


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        [node]
        ae_title = "SEVENTEEN_LETTERS"
        colour = "red"
        [receiver]
        port = "11112"
        [model]
        step = 33
        [selection]
        urgent = [{ attribute = "StudyDescription", matches = "(" }]
        [[destination]]
        name = "pacs"
        ae_title = "PACS"
        port = 70000
        [modell]
        """,
    )
    assert set(found) == {
        "node.ae_title",
        "node.colour",
        "receiver.port",
        "model.step",
        "selection.urgent[1].matches",
        "destination[1].host",
        "destination[1].port",
        "modell",
    }
    assert "'SEVENTEEN_LETTERS'" in found["node.ae_title"] and "1 to 16" in found["node.ae_title"]
    assert "known keys here are ae_title" in found["node.colour"]
    assert "16, 24, 32, 48, 64 or 96" in found["model.step"]
    assert "destination" in found["modell"] and "receiver" in found["modell"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[receiver]\nport = 0", "receiver.port"),
        ("[receiver]\nport = true", "receiver.port"),
        ('[node]\ntime_zone = "Mars/Olympus"', "node.time_zone"),
        ("[model]\nthreshold = 1.0", "model.threshold"),
        ("[model]\nthreshold = 0.9", "model"),  # above detection_threshold
        ('[model]\ndevice = "gpu"', "model.device"),
        ("[assembly]\nquiet_s = -1.0", "assembly.quiet_s"),
        ('[log]\nlevel = "loud"', "log.level"),
        ('[results]\nreport_series_description = "Bericht für R"', "results.report_series_description"),
        ('[node]\nae_title = "A\\\\B"', "node.ae_title"),
        ('[node]\nae_title = "   "', "node.ae_title"),
        ("[selection]\ncontrast_minimum_hu = 900.0", "selection"),
        ('[[destination]]\nname="a"\nae_title="A"\nhost="h"\nport=1\n' * 2, "(settings)"),
    ],
)
def test_values_out_of_range(tmp_path: Path, text: str, key: str) -> None:
    assert list(problems(tmp_path, text)) == [key]


def test_unreadable_files(tmp_path: Path) -> None:
    assert "TOML" in problems(tmp_path, "[node\n")["(file)"]
    with pytest.raises(ConfigurationError, match="No such file"):
        load_settings(tmp_path / "nowhere.toml")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, '[storage]\nfolder = "here"\n[model]\nweights = "w.safetensors"')
    settings = load_settings(file)
    assert settings.storage.folder == tmp_path / "here"
    assert settings.model.weights == (str(tmp_path / "w.safetensors"),)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().receiver.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({}, {"seg", "sr"}),
        ({"profile": "viewer-without-seg"}, {"sr", "key-image"}),
        ({"profile": "archive"}, {"seg", "sr", "key-image", "presentation-state", "probability", "risk-map", "pdf"}),
        ({"key_images": "on"}, {"seg", "sr", "key-image"}),
        ({"key_images": "on", "report": "off"}, {"seg", "key-image"}),
        ({"pdf": "on", "report": "off"}, {"seg", "pdf"}),
        ({"risk_map": "on", "risk_map_form": "segmentation"}, {"seg", "sr", "risk-map-segmentation"}),
        ({"report_form": "enhanced"}, {"seg", "sr-enhanced"}),
        ({"segmentation_per_lesion": True}, {"seg-each", "sr-each"}),
        (
            {"segmentation_type": "labelmap", "omit_empty_frames": False, "report_form": "comprehensive"},
            {"seg-labelmap-all-frames", "sr-labelmap-all-frames-comprehensive"},
        ),
        ({"profile": "viewer-without-seg", "segmentation": "on", "key_images": "off"}, {"seg", "sr"}),
    ],
)
def test_a_destination_gets_what_its_profile_and_switches_say(
    switches: dict[str, str | bool], expected: set[str]
) -> None:
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
    assert DestinationSettings.model_validate({**pacs, **switches}).wanted == expected


def test_a_destination_that_would_get_nothing_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "h"\nport = 104\n'
        'segmentation = "off"\nreport = "off"\n'
    )
    with pytest.raises(ConfigurationError, match="at least one of segmentation, report, .* must be on"):
        load_settings(config)


def test_series_of_results_have_numbers_of_their_own() -> None:
    with pytest.raises(ValidationError, match="the series numbers must differ from one another"):
        ResultsSettings(report_series_number=9801)
    assert ResultsSettings(report_series_number=17).report_series_number == 17
