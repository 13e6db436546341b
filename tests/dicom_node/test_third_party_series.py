"""Other people's files: read exactly, refused with the right code, or survived."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2KLossless

from dicom_node.dicom_file import read_headers
from dicom_node.errors import NodeError
from dicom_node.frames import list_frames
from dicom_node.pixels import iterate_hounsfield
from dicom_node.read_series import inspect_series, read_folder, read_volume
from dicom_node.reasons import NotAnalysable, Reason
from dicom_node.settings import SelectionSettings
from glianet.volume import Volume
from tests.support.shared_data import SHARED, shared
from tests.support.written_series import ASSEMBLY, change_header

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's remarks on bent values

ANY = SelectionSettings(minimum_slices=1, maximum_slice_spacing_mm=10.0, maximum_axial_angle_degrees=45.0)
MALFORMED = sorted((SHARED / "data/dicom/malformed").rglob("*.dcm"))
ODD = "data/dicom/odd_geometry"
DCMQI = "data/dicom/transfer_syntaxes/enhanced_ct/dcmqi"


def slice_of(path: Path) -> NDArray[np.int16]:
    (frame,) = iterate_hounsfield(path, list_frames(read_headers([path])[0]))
    return frame


def refusal(headers: list[Dataset], selection: SelectionSettings = ANY) -> NotAnalysable:
    with pytest.raises(NotAnalysable) as caught:
        inspect_series(headers, selection, ASSEMBLY, conflicting=False)
    return caught.value


@pytest.mark.parametrize("image", ["CT1", "CT2"])
@pytest.mark.parametrize("encoding", ["RLE", "JPLL", "JLSL", "J2KR"])
def test_lossless_reference_images_equal_the_uncompressed_one(image: str, encoding: str) -> None:
    folder = shared("data/dicom/transfer_syntaxes/wg04_ct")
    assert np.array_equal(
        slice_of(folder / f"{image}_{encoding}.dcm"), slice_of(folder / f"{image}_REF_UNC.dcm")
    )


@pytest.mark.parametrize("image", ["CT1", "CT2"])
def test_high_throughput_jpeg_2000(tmp_path: Path, image: str) -> None:
    folder = shared("data/dicom/transfer_syntaxes/wg04_ct")
    dataset = dcmread(folder / f"{image}_REF_UNC.dcm")
    dataset.PixelData = encapsulate([(folder / f"{image}.j2c").read_bytes()])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
    dataset.save_as(tmp_path / "htj2k.dcm")
    assert np.array_equal(slice_of(tmp_path / "htj2k.dcm"), slice_of(folder / f"{image}_REF_UNC.dcm"))


@pytest.mark.parametrize("name", ["CT1_J2KI", "CT1_JLSN", "CT2_J2KI", "CT2_JLSN"])
def test_lossy_reference_images_are_refused(name: str) -> None:
    path = shared("data/dicom/transfer_syntaxes/wg04_ct") / f"{name}.dcm"
    assert refusal(list(read_headers([path]))).reason is Reason.LOSSY_COMPRESSION


def test_padding_of_a_scanner_becomes_air() -> None:
    """CT1 declares -2000 outside the reconstructed circle; the corner lies outside."""
    path = shared("data/dicom/transfer_syntaxes/wg04_ct") / "CT1_REF_UNC.dcm"
    stored = dcmread(path).pixel_array
    assert (stored[0, 0], slice_of(path)[0, 0]) == (-2000, -1000)
    inside = stored != -2000
    assert np.array_equal(slice_of(path)[inside], stored[inside] - 1024)


@pytest.mark.parametrize("name", ["23x38x3", "24x38x3"])
def test_multi_frame_equals_the_single_frames_it_was_made_from(name: str) -> None:
    """Two programs wrote the same matrix that is not square; both leave the unit open, which is set here."""
    volumes = []
    for folder in ("image", "multiframe"):
        headers = list(read_headers(sorted((shared(DCMQI) / name / folder).glob("*.dcm"))))
        assert refusal(headers).reason is Reason.HOUNSFIELD_UNAVAILABLE
        volumes.append(read_as_hu(headers))
    assert np.array_equal(volumes[0].hu, volumes[1].hu)
    assert volumes[0].affine == pytest.approx(volumes[1].affine)
    assert volumes[0].shape == (3, 38, int(name[:2]))
    assert volumes[0].spacing_mm == pytest.approx((2.5, 0.7, 0.7))


def read_as_hu(headers: list[Dataset]) -> Volume:
    for header in headers:
        groups = [header, *header.get("SharedFunctionalGroupsSequence", [])]
        for group in groups:
            for item in group.get("PixelValueTransformationSequence", [group]):
                change_header(item, RescaleType="HU")
    return read_volume(inspect_series(headers, ANY, ASSEMBLY, conflicting=False))


def test_three_slices_of_a_scanner() -> None:
    """dcmqi's example: -1024 + stored, foot to head, whatever the files' names say."""
    folder = shared(DCMQI) / "ct-3slice"
    volume = read_folder(folder)
    images = sorted(
        (dcmread(path) for path in folder.glob("*.dcm")), key=lambda image: image.ImagePositionPatient[2]
    )
    assert volume.affine[:3, 3] == pytest.approx([float(value) for value in images[0].ImagePositionPatient])
    for plane, image in zip(volume.hu, images, strict=True):
        stored = image.pixel_array
        assert np.array_equal(plane[stored != -2000], stored[stored != -2000] - 1024)


def test_real_head_with_tilted_gantry() -> None:
    headers = list(read_headers(sorted(shared(ODD).glob("GE_human_head*/*.dcm"))))
    assert len(headers) == 28
    assert refusal(headers, SelectionSettings()).reason is Reason.TOO_FEW_SLICES
    assert refusal(headers, SelectionSettings(minimum_slices=20)).reason is Reason.NOT_AXIAL
    caught = refusal(headers)
    assert (caught.reason, "18.50 degrees" in caught.detail) == (Reason.GANTRY_TILT, True)


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("gantrytilting/001", Reason.GANTRY_TILT),
        ("sliceincrement/001", Reason.MISSING_SLICE),
        ("sliceincrement/002", Reason.GANTRY_TILT),
    ],
)
def test_real_headers_with_odd_geometry(folder: str, reason: Reason) -> None:
    """The frame of reference was taken out when the files were made public: put one back."""
    paths = sorted(shared(f"{ODD}/dicom2nifti/{folder}").glob("IM-*"))
    headers = list(read_headers(paths))
    assert refusal(headers).reason is Reason.MISSING_GEOMETRY
    for header in headers:
        header.FrameOfReferenceUID = "1.2.3.4"
    assert refusal(headers).reason is reason


@pytest.mark.skipif(not MALFORMED, reason="third-party data is not here: ../shared/data/dicom/malformed")
@pytest.mark.parametrize("path", MALFORMED, ids=lambda path: path.stem)
def test_malformed_files_are_refused_or_read_but_never_crash(path: Path) -> None:
    """Rescale is put in where the corpus leaves it out, so that the decoders are reached."""
    try:
        (header,) = read_headers([path])
    except NodeError:
        return
    with pytest.raises(NodeError):  # one slice is no series, whatever else
        inspect_series([header], ANY, ASSEMBLY, conflicting=False)
    header.RescaleSlope, header.RescaleIntercept = 1, -1024
    try:
        frames = list_frames(header)
        pixels = list(iterate_hounsfield(path, frames))
    except NodeError:
        return
    assert all(frame.dtype == np.int16 and frame.shape == (header.Rows, header.Columns) for frame in pixels)
