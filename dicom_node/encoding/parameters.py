"""The parameters of an analysis, as SEG and SR name them."""

from glianet.findings import Findings


def algorithm_parameters(findings: Findings) -> dict[str, str]:
    """Name and value of everything that decides the findings beside the images."""
    least = f"{findings.minimum_volume_mm3:g} mm3 ({findings.minimum_voxels} voxels)"
    return {
        "weights SHA-256": findings.weights_sha256,
        "score threshold": f"{findings.threshold:g}",
        "detection threshold": f"{findings.detection_threshold:g}",
        "least of a lesion above the detection threshold": least,
        "block step": f"{findings.step} voxels",
        "image blocks of air, outside the head or without influence": "computed" if findings.exact else "left out",
        "computation": findings.computation or "not recorded",
    }
