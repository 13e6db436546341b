"""`make demo`: a scanner sends a head CTA to the node, and its results arrive in an archive, for real.

Three separate processes - archive, node, sender - speak DICOM to each other on this machine. The node is
started with its production command.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from dicom_node.demo.archive_client import received_results, save_pictures
from dicom_node.demo.make_series import make_phantom_series
from dicom_node.demo.planted import PlantedAneurysm
from dicom_node.demo.report_results import print_arrivals, print_comparison, print_verdict
from dicom_node.demo.run_node import DemoFailed, Neighbourhood
from dicom_node.errors import NodeError

DEMO_SEED = 900007  # training sees none from 900000 on; how it was chosen stands in the model card


def main() -> int:
    """Run the demo; exit status 0 when the results arrived."""
    arguments = _arguments()
    console = Console()
    output = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    try:
        return _run(console, arguments.series, output)
    except (DemoFailed, NodeError) as error:
        console.print(f"[red]The demo failed:[/] {escape(str(error))}", highlight=False)
        return 1


def _run(console: Console, series: Path | None, output: Path) -> int:
    planted: tuple[PlantedAneurysm, ...] = ()
    if series is None:
        console.rule("1. A phantom head CTA, as a scanner would store it")
        series, planted = make_phantom_series(output / "phantom", DEMO_SEED, console)
    console.rule("2. Archive and node start, the scanner sends")
    with Neighbourhood(output, console) as neighbourhood:
        neighbourhood.send(series)
        console.rule("3. The node analyses and delivers")
        ended = neighbourhood.wait_for_results()
        results = received_results(neighbourhood.archive_folder)
        console.rule("4. What came back")
        print_arrivals(console, neighbourhood.archive_folder)
        print_verdict(console, ended, results)
        matched = print_comparison(console, planted, results) if planted else True
        for picture in save_pictures(results, output / "pictures"):
            console.print(f"picture: {picture}", highlight=False, soft_wrap=True)
        neighbourhood.verify_audit_log()
    console.print("Everything is stopped. For research use only: not for diagnosis.")
    return 0 if matched else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--series", type=Path, help="a folder with a DICOM series instead of the phantom")
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output"), help="where everything is written"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
