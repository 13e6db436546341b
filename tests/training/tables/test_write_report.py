"""The whole report: its figures, that it needs nothing from outside, and that a browser can show it."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.training.tables.made_scores import counted_case, made_scores
from training.results import RunResults, load_results, save_results
from training.tables.curves_plot import curves_svg, draw_curves
from training.tables.estimates import ReportError, estimate_models
from training.tables.paper_tables import paper_tables
from training.tables.write_report import write_report

MADE = {"weights_sha256": "ab" * 32, "window_step": 48, "precision": "bfloat16", "seed": 7}
CHROMIUM = shutil.which("chromium")


def _results() -> list[RunResults]:
    one = RunResults("GLIA-Net <b>", "internal | test", "1", MADE, tuple(made_scores(12, 1, 0.8)))
    made = {key: value for key, value in MADE.items() if key != "seed"}
    two = replace(one, run="2", scores=tuple(made_scores(12, 2, 0.8)), made=made)
    return [one, two, replace(one, model="U-Net", scores=tuple(made_scores(12, 3, 0.5)))]


def _plain(model: str, voxels: tuple[int, int, int, int], found: bool, false_positives: int) -> RunResults:
    """Two cases: an aneurysm of 300 voxels, and none."""
    cases = (
        counted_case("a", voxels, ((300, found),), false_positives, hd95_mm=2.5, institution="A"),
        counted_case("b", (0, 0, 0, 1000), (), 0, institution="B"),
    )
    return RunResults(model, "d", "1", MADE, cases)


class _Reader(HTMLParser):
    """Collects open tags and every attribute that a browser would follow, and checks that tags are closed in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.rows: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += 1
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(_results(), folder / "report.html", folder / "report.md")
    return folder


def test_figures_of_a_table_by_hand() -> None:
    # tp 6, fp 2, fn 4: precision 75, recall 60, DSC 2 * 6 / (12 + 2 + 4) = 66.7. The other model predicts nothing.
    # The aneurysm is found at 0.5 false positives a case and more: at four of the five limits of the FROC score.
    tables = paper_tables(
        estimate_models([_plain("m", (6, 2, 4, 988), True, 1), _plain("n", (0, 0, 10, 990), False, 0)])
    )
    voxel, target, case, size, ablation, difference = tables[:6]
    cells = [[(cell.text.split(" ")[0], cell.bold) for cell in row] for row in voxel.rows]
    assert cells[0][:5] == [("d", False), ("m", False), ("75.0", False), ("60.0", True), ("66.7", True)]
    assert cells[1][2:5] == [("–", False), ("0", False), ("0", False)]
    assert voxel.rows[1][2].note == "Undefined: no voxel is predicted."
    assert [cell.text.split(" ")[0] for cell in target.rows[0]] == ["d", "m", "1", "1", "0", "100", "0.50", "80.0"]
    assert [cell.bold for cell in target.rows[1]] == [False, False, False, True, False, False, True, False]
    assert [cell.text.split(" ")[0] for cell in case.rows[0]] == ["d", "m", "100", "100", "100"]
    assert [row[0].text for row in size.rows] == ["<3 mm", "<3 mm", "3-7 mm", "3-7 mm", ">7 mm", ">7 mm"]
    assert size.rows[2][1].text == "1" and size.rows[2][3].text.startswith("100") and size.rows[0][3].text == "–"
    assert ablation.columns == ("", "Measure", "m", "n") and len(ablation.rows) == 9
    assert difference.title == "Differences from m: d" and difference.columns == ("", "Measure", "n")
    minus = {row[1].text.split(" ")[0]: row[2] for row in difference.rows if row[0].text != "Target-wise"}
    assert minus["Recall"].text == "−60.0 (−60.0 to −60.0)" and minus["Recall"].bold
    assert minus["Precision"].text == "–" and minus["Precision"].note.endswith("no voxel is predicted.")


def test_caption_tells_what_intervals_are_over() -> None:
    caption = paper_tables(estimate_models(_results()))[0].caption
    assert "Student's distribution (GLIA-Net <b>)" in caption and "left out (U-Net)" in caption


def test_how_runs_were_made() -> None:
    table = paper_tables(estimate_models(_results()))[-1]
    texts = [[cell.text for cell in row] for row in table.rows]
    assert texts[0][2:] == ["1", "12", "8", "ab" * 32, "48", "bfloat16", "seed: 7"]
    assert texts[1][5:] == ["ab" * 32, "48", "bfloat16", "–"]


def test_html_stands_alone(written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    reader = _Reader()
    reader.feed(text)
    assert not reader.open and reader.tags.count("img") == 1
    assert not {"script", "link", "iframe", "object", "b"} & set(reader.tags)
    assert all(address.startswith("data:image/svg+xml;base64,") for address in reader.addresses)
    assert not re.search(r"https?://|url\(|@import", text)
    assert text.count("For research use only") == 2 and 'name="viewport"' in text and "@media print" in text
    assert "GLIA-Net &lt;b&gt;" in text and "ab" * 32 in text


def test_every_row_has_a_cell_for_each_column(written: Path) -> None:
    tables = paper_tables(estimate_models(_results()))
    reader = _Reader()
    reader.feed((written / "report.html").read_text(encoding="utf-8"))
    assert reader.rows == [len(table.columns) for table in tables for _ in (table.columns, *table.rows)]
    lines = (written / "report.md").read_text(encoding="utf-8").splitlines()
    rows = [len(re.findall(r"(?<!\\)\|", line)) - 1 for line in lines if line.startswith("|")]
    assert rows == [len(table.columns) for table in tables for _ in (table.columns, table.columns, *table.rows)]


def test_markdown(written: Path) -> None:
    text = (written / "report.md").read_text(encoding="utf-8")
    assert "**For research use only. Not for diagnosis.**" in text
    assert "GLIA-Net \\<b\\>" in text and "internal \\| test" in text
    assert re.search(r"^\| internal \\\| test \| GLIA-Net .* \| \*\*\d\d\.\d \(", text, re.MULTILINE)


def test_curves_are_the_same_bytes_and_hold_nothing_foreign() -> None:
    (dataset,) = estimate_models(_results())
    svg = curves_svg(dataset)
    assert svg == curves_svg(dataset)
    tree = ElementTree.fromstring(svg.encode())
    links = [value for node in tree.iter() for name, value in node.attrib.items() if name.endswith("href")]
    assert links and all(link.startswith("#") for link in links)


def test_curves_go_through_the_figures() -> None:
    scores = (counted_case("a", (6, 2, 4, 988), ((300, True), (300, False)), 1, scores=(0.9, 0.05)),)
    (dataset,) = estimate_models([RunResults("m", "d", "1", {}, scores)])
    roc, precision_recall, froc = draw_curves(dataset).axes
    assert (0.0, 1.0) in list(map(tuple, roc.lines[0].get_xydata().tolist()))  # all true voxels above all others
    assert (1.0, 1.0) in list(map(tuple, precision_recall.lines[0].get_xydata().tolist()))
    assert froc.lines[1].get_xydata().tolist() == [[1.0, 0.5]]  # the ring: the figures of the tables


def test_a_set_without_aneurysms_has_empty_curves(tmp_path: Path) -> None:
    quiet = RunResults("m", "d", "1", {}, (counted_case("b", (0, 0, 0, 1000), (), 2),))
    write_report([quiet], tmp_path / "r.html", tmp_path / "r.md")
    assert "–¹" in (tmp_path / "r.md").read_text(encoding="utf-8")


def test_results_from_files(tmp_path: Path) -> None:
    for number, one in enumerate(_results()):
        save_results(tmp_path / f"{number}.json", one)
    loaded = [load_results(tmp_path / f"{number}.json") for number in range(3)]
    write_report(loaded, None, tmp_path / "loaded.md")
    write_report(_results(), None, tmp_path / "direct.md")
    assert (tmp_path / "loaded.md").read_bytes() == (tmp_path / "direct.md").read_bytes()
    assert not list(tmp_path.glob("*.html"))


def test_no_file_is_refused() -> None:
    with pytest.raises(ReportError, match="no file is named"):
        write_report(_results(), None, None)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_it(written: Path) -> None:
    picture = written / "report.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=390,1200", f"--screenshot={picture}"]
    subprocess.run([CHROMIUM or "", *options, (written / "report.html").as_uri()], check=True, timeout=60)
    assert picture.stat().st_size > 10_000
