"""Self-check of the key images: as many pages as there should be, in order, each of the slice that it shows."""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_node.encoding.check_identity import check_identity, require
from dicom_node.encoding.part10 import EncodedObject
from dicom_node.read_series import SourceSeries
from glianet.findings import Findings

PAGE = 1024
SAMPLES = 3
MOST_PAGES = 60
WHERE = "KEY IMAGES"


def check_key_images(pages: Sequence[EncodedObject], source: SourceSeries, findings: Findings) -> None:
    """Pass if there is an overview, and a page for each of the first 60 lesions that refers to the slice of its centre.

    Raises:
        NodeError: naming what is wrong.
    """
    lesions = findings.lesions[:MOST_PAGES]
    expected = 1 + len(lesions)
    require(len(pages) == expected, f"there are {len(pages)} pages, not {expected}", WHERE)
    images = check_pages(pages, source.datasets)
    for lesion, image in zip(lesions, images[1:], strict=True):
        plane = source.geometry.planes[lesion.centre_index[0]]
        (reference,) = image.SourceImageSequence
        found = str(reference.ReferencedSOPInstanceUID), reference.get("ReferencedFrameNumber")
        wanted = plane.sop_instance_uid, plane.frame_number
        require(found == wanted, f"page {lesion.number + 1} refers to {found}, not {wanted}", WHERE)


def check_pages(pages: Sequence[EncodedObject], sources: Sequence[Dataset]) -> list[Dataset]:
    """The pages, once they are pictures of one series of the source's study, numbered from 1.

    Raises:
        NodeError: naming what is wrong.
    """
    images = [check_identity(page, SecondaryCaptureImageStorage, sources) for page in pages]
    numbers = [int(image.InstanceNumber) for image in images]
    require(numbers == list(range(1, len(images) + 1)), f"pages are numbered {numbers}", WHERE)
    require(len({image.SeriesInstanceUID for image in images}) == 1, "pages lie in several series", WHERE)
    for image in images:
        form = int(image.Rows), int(image.Columns), int(image.SamplesPerPixel), len(image.PixelData)
        require(form == (PAGE, PAGE, SAMPLES, PAGE * PAGE * SAMPLES), f"a page has the form {form}", WHERE)
        require(image.PhotometricInterpretation == "RGB", "a page is not in RGB", WHERE)
    return images
