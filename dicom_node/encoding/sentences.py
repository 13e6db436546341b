"""The plain sentences of a report: what a radiologist reads who opens it in any viewer."""

from collections.abc import Sequence

from pydicom.dataset import Dataset

from dicom_node.encoding.context import ResultContext
from dicom_node.encoding.source_attributes import stated
from dicom_node.read_series import SourceSeries
from dicom_node.reasons import REASONS, Reason
from glianet.findings import Findings, Lesion

UNDECODABLE = "\ufffd"  # what pydicom puts where bytes do not fit the Specific Character Set
LO_LENGTH = 64  # characters of VR LO (PS3.5 table 6.2-1)
REPLACES = "This report replaces an earlier one about the same series, to which it refers as its predecessor."
REPLACES_RESULTS = "Replaces earlier results about the same series."
NO_CANDIDATE = "No aneurysm candidate found by the algorithm; this does not exclude an aneurysm."


def summary(findings: Findings) -> str:
    """What was found, and what it is worth, in a few lines."""
    lesions = findings.lesions
    if not lesions:
        return NO_CANDIDATE
    count = "1 aneurysm candidate" if len(lesions) == 1 else f"{len(lesions)} aneurysm candidates"
    largest = max(lesions, key=lambda lesion: lesion.maximum_diameter_mm)
    which = "with a" if len(lesions) == 1 else f"the largest, candidate {largest.number}, with a"
    return (
        f"{count} found by the algorithm, {which} maximum diameter of {largest.maximum_diameter_mm:.1f} mm. "
        "A radiologist has to confirm or reject each; further aneurysms are not excluded. The scores are the "
        "network's own, not calibrated probabilities; the algorithm does not name the vessel."
    )


def description_of_analysis(source: SourceSeries, findings: Findings) -> str:
    """Which series was looked at, by what, and with which parameters."""
    slices = f"{source.geometry.shape[0]} slices of {description_of_series(source.datasets[0])}"
    algorithm = f"{findings.algorithm_name} {findings.algorithm_version}"
    computation = f", computed by {findings.computation}" if findings.computation else ""
    return (
        f"{slices} analysed by {algorithm}, weights SHA-256 {findings.weights_sha256}, score threshold "
        f"{findings.threshold:g}, detection threshold {findings.detection_threshold:g}, block step {findings.step} "
        f"voxels, {findings.patches_computed} image blocks computed, {findings.patches_skipped} left out (air, "
        f"outside the head, or without influence on the result){computation}."
    )


def description_of_series(header: Dataset) -> str:
    """Series number and description of the source, as far as it has them."""
    number, name = stated(header, "SeriesNumber"), str(stated(header, "SeriesDescription") or "")
    if UNDECODABLE in name:
        name = plain(name)
    return "series" + (f" {number}" if number is not None else "") + (f' "{name}"' if name else "")


def list_entry(wanted: str, header: Dataset, *, analysed: bool = True) -> str:
    """Series Description of a result: `wanted`, and which series it is about, as far as 64 characters go.

    Two reconstructions of one study give two results, which a viewer's list shows side by side.
    """
    number = stated(header, "SeriesNumber")
    about = [f"series {number}"] * (number is not None) + ["not analysed"] * (not analysed)
    entry = f"{wanted}, {' '.join(about)}" if about else wanted
    return plain(entry if len(entry) <= LO_LENGTH else wanted)


def received(headers: Sequence[Dataset], header: Dataset) -> str:
    """How many images came of the series that was not analysed."""
    count = "1 image" if len(headers) == 1 else f"{len(headers)} images"
    return f"{count} of {description_of_series(header)} received, not analysed."


def place_of_lesion(source: SourceSeries, lesion: Lesion, slices: Sequence[int], series: str = "") -> str:
    """Where to look for a lesion: images of the source, and patient coordinates; no artery is named.

    series: what to call the source; by default its number and description.
    """
    x, y, z = lesion.centre_lps_mm
    first, last = sorted((image_number(source, slices[0]), image_number(source, slices[-1])))
    centre = image_number(source, lesion.centre_index[0])
    one = "image" if source.geometry.planes[slices[0]].frame_number is None else "frame"
    images = f"{one} {first}" if first == last else f"{one}s {first} to {last}, its centre in {one} {centre}"
    series = series or description_of_series(source.datasets[0])
    return (
        f"The candidate lies in {images} of {series}, at patient coordinates (LPS) x {x:.1f}, y {y:.1f}, "
        f"z {z:.1f} mm."
    )


def image_number(source: SourceSeries, index: int) -> int:
    """Instance Number of a slice, or the number of the frame; the place in the stack where there is none."""
    plane = source.geometry.planes[index]
    if plane.frame_number is not None:
        return plane.frame_number
    number = stated(source.datasets[index], "InstanceNumber")
    return index + 1 if number is None else int(number)


def refusal(reason: Reason, detail: str, context: ResultContext) -> str:
    """Why a series was not analysed, and what can be done."""
    explained = REASONS[reason]
    return plain(
        f"This series was not analysed by {context.algorithm_name}: this report neither finds nor excludes "
        "an aneurysm. "
        f"{explained.text} {explained.advice} [{reason.value}: {detail}]"
    )


def plain(text: str) -> str:
    """`text` in printable ASCII, which every Specific Character Set of the source can hold."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)
