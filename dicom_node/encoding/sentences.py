"""The plain sentences of a report: what a radiologist reads who opens it in any viewer."""

from collections.abc import Sequence

from pydicom.dataset import Dataset

from dicom_node.encoding.context import ResultContext
from dicom_node.encoding.source_attributes import stated
from dicom_node.read_series import SourceSeries
from dicom_node.reasons import REASONS, Reason
from glianet.findings import Findings, Lesion

UNDECODABLE = "\ufffd"  # what pydicom puts where bytes do not fit the Specific Character Set
NO_CANDIDATE = "No aneurysm candidate found by the algorithm; this does not exclude an aneurysm."


def summary(findings: Findings) -> str:
    """What was found, in a line or two."""
    lesions = findings.lesions
    if not lesions:
        return NO_CANDIDATE
    count = "1 aneurysm candidate" if len(lesions) == 1 else f"{len(lesions)} aneurysm candidates"
    largest = max(lesions, key=lambda lesion: lesion.maximum_diameter_mm)
    which = "with a" if len(lesions) == 1 else f"the largest, candidate {largest.number}, with a"
    return (
        f"{count} found by the algorithm, {which} maximum diameter {largest.maximum_diameter_mm:.1f} mm. "
        "A radiologist has to confirm or reject each; further aneurysms are not excluded."
    )


def description_of_analysis(source: SourceSeries, findings: Findings) -> str:
    """Which series was looked at, by what, and with which parameters."""
    slices = f"{source.geometry.shape[0]} slices of {description_of_series(source.datasets[0])}"
    algorithm = f"{findings.algorithm_name} {findings.algorithm_version}"
    return (
        f"{slices} analysed by {algorithm}, weights SHA-256 {findings.weights_sha256}, score threshold "
        f"{findings.threshold:g}, window step {findings.step} voxels, {findings.patches_computed} windows "
        f"computed, {findings.patches_skipped} skipped because they hold only air."
    )


def description_of_series(header: Dataset) -> str:
    """Series number and description of the source, as far as it has them."""
    number, name = stated(header, "SeriesNumber"), str(stated(header, "SeriesDescription") or "")
    if UNDECODABLE in name:
        name = plain(name)
    return "series" + (f" {number}" if number is not None else "") + (f' "{name}"' if name else "")


def place_of_lesion(source: SourceSeries, lesion: Lesion, slices: Sequence[int]) -> str:
    """Where to look for a lesion: images of the source, and patient coordinates; no artery is named."""
    x, y, z = lesion.centre_lps_mm
    first, last = sorted((_image_number(source, slices[0]), _image_number(source, slices[-1])))
    centre = _image_number(source, lesion.centre_index[0])
    images = f"image {first}" if first == last else f"images {first} to {last}, its centre in image {centre}"
    series = description_of_series(source.datasets[0])
    return (
        f"The candidate lies in {images} of {series}, at patient coordinates (LPS) x {x:.1f}, y {y:.1f}, "
        f"z {z:.1f} mm. The scores are the network's own, not calibrated probabilities. The algorithm does "
        "not name the vessel."
    )


def _image_number(source: SourceSeries, index: int) -> int:
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
        f"This series was not analysed by {context.algorithm_name}; nothing is known about aneurysms in it. "
        f"{explained.text} {explained.advice} [{reason.value}: {detail}]"
    )


def plain(text: str) -> str:
    """`text` in printable ASCII, which every Specific Character Set of the source can hold."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)
