"""De-identified copies of DICOM files by the Basic Profile of PS3.15 (annex E), which dicom-anonymizer carries out."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from training.manifest import CasesError
from training.pseudonyms import uid_pseudonym

PROFILE = "dicomfields_2026c"
"""The edition of PS3.15 table E.1-1 among those that the library brings."""
METHOD = "PS3.15 2026c Basic Profile"
METHOD_CODE = ("113100", "DCM", "Basic Application Confidentiality Profile")
"""PS3.16 CID 7050."""

WELL_KNOWN_UIDS = "1.2.840.10008."
"""UIDs that the standard registers, of classes and syntaxes; no one's own."""

OVERLAY_GROUPS = (0x6000, 0, 0xFF00, 0)
"""Group 60xx, with a mask (PS3.5 section 7.6). The profile takes out data and comments; here all of it goes."""

LEAST_SEARCHED = 4
"""Characters. Shorter parts of names and numbers turn up by chance."""
SECRETS = (
    "PatientName", "PatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName", "PatientBirthDate",
    "PatientAddress", "PatientTelephoneNumbers", "AccessionNumber", "ReferringPhysicianName", "InstitutionName",
    "PerformingPhysicianName", "OperatorsName",
)  # fmt: skip
"""Looked for in what was made, beside all UIDs: a check that shares nothing with the profile's table."""
TEXTS = ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR", "UT")
"""Value representations of free text (PS3.5 section 6.2)."""

Rules = dict[tuple[int, ...], Callable[[Any, Any], None]]


def deidentify(files: Iterable[Path], folder: Path, key: bytes, patient: str) -> tuple[Path, ...]:
    """Writes a copy of each file into `folder`, numbered, with the pseudonym as Patient ID and Patient's Name.

    Basic Profile without options: no age, no sex, no dates, no descriptions, no private attributes; UIDs become those
    of `uid_pseudonym`, in references too. Pixels stay as they are: a face can be rebuilt from a head CT (PS3.15 E.3.2
    is not done), so that a copy may still be personal data.

    Raises CasesError where a copy would hold something of the patient, or a file cannot be treated. Raises OSError.
    """
    from dicomanonymizer.simpledicomanonymizer import initialize_actions
    from pydicom import dcmread

    rules = _rules(initialize_actions(PROFILE))
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for number, path in enumerate(files, start=1):
        dataset = dcmread(path)
        try:
            secrets = _secrets(dataset)
            _check_overlays(dataset)
            _apply(dataset, rules)
            _replace_uids(dataset, key)
            _check_nothing_left(dataset, secrets)
            _sign(dataset, patient)
        except (ValueError, NotImplementedError, TypeError, AttributeError, LookupError) as problem:
            raise CasesError(path, [f"it cannot be de-identified: {problem}"]) from problem
        copies.append(folder / f"{number:06d}.dcm")
        dataset.save_as(copies[-1], enforce_file_format=True)
    return tuple(copies)


def _rules(profile: Rules) -> Rules:
    """The profile's, but for UIDs: the library would draw them at random, and empty references to images."""
    from dicomanonymizer.simpledicomanonymizer import (
        delete,
        delete_or_empty_or_replace_UID,
        keep,
        replace_UID,
    )

    uids = (replace_UID, delete_or_empty_or_replace_UID)
    return {tag: keep if action in uids else action for tag, action in profile.items()} | {OVERLAY_GROUPS: delete}


def _secrets(dataset: Any) -> set[str]:
    texts = set()
    for element in dataset.iterall():
        if element.VR == "UI":
            texts |= {uid for uid in _values(element) if not uid.startswith(WELL_KNOWN_UIDS)}
        elif element.keyword in SECRETS:
            for value in _values(element):
                texts |= {value, *value.replace("=", "^").split("^")} if element.VR == "PN" else {value}
    return {text.strip() for text in texts if len(text.strip()) >= LEAST_SEARCHED}


def _values(element: Any) -> list[str]:
    return [str(value) for value in (element.value if element.VM > 1 else [element.value]) if value]


def _check_overlays(dataset: Any) -> None:
    """Overlays once lay in the unused bits of the pixels (PS3.5 section 8.1.2, retired)."""
    for group in range(0x6000, 0x6100, 2):
        if (group, 0x0010) in dataset and (group, 0x3000) not in dataset:
            raise ValueError("an overlay lies in the bits of its pixels, which cannot be taken out here")


def _apply(dataset: Any, rules: Rules) -> None:
    """Also to the items of the sequences that the profile leaves: the library treats the outermost level alone."""
    from dicomanonymizer import anonymize_dataset

    anonymize_dataset(dataset, base_rules_gen=lambda: dict(rules))
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _apply(item, rules)


def _replace_uids(dataset: Any, key: bytes) -> None:
    for element in dataset.iterall():
        if element.VR == "UI" and element.value:
            new = [uid if uid.startswith(WELL_KNOWN_UIDS) else uid_pseudonym(key, uid) for uid in _values(element)]
            element.value = new if len(new) > 1 else new[0]


def _check_nothing_left(dataset: Any, secrets: set[str]) -> None:
    """No text holds a secret, no other value is one."""
    left = set()
    for element in dataset.iterall():
        for value in _values(element) if element.keyword != "PixelData" and element.VR != "SQ" else ():
            if value in secrets or (element.VR in TEXTS and any(secret in value for secret in secrets)):
                left.add(element.keyword or str(element.tag))
    if left:
        raise ValueError(f"something of the patient would be left in {', '.join(sorted(left))}")


def _sign(dataset: Any, patient: str) -> None:
    """Says what was done (PS3.15 E.1.1, items 5 and 6) and gives the file a header of its own."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset

    syntax = dataset.file_meta.TransferSyntaxUID
    dataset.preamble = bytes(128)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientID = dataset.PatientName = patient
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = METHOD
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = METHOD_CODE
    dataset.DeidentificationMethodCodeSequence = [code]
    dataset.LongitudinalTemporalInformationModified = "REMOVED"
