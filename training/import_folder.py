"""Many CT series at once: one sub-folder each, paired with the segmentations that refer to them."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from training.import_dicom import import_series
from training.manifest import CasesError, ManifestCase, read_manifest, write_manifest
from training.pseudonyms import case_pseudonym
from training.read_segmentation import referenced_series
from training.series_identity import CT_CLASSES, SEGMENTATION_CLASSES, read_headers

MANIFEST = "manifest.csv"

Progress = Callable[[str, int, int], None]
"""Told which sub-folder is done, how many so far, of how many."""


@dataclass(frozen=True)
class Imported:
    """cases: those written now; already: names of those that were there; problems: what was left out, and why.

    The problems name folders of the source, which may tell of patients: for the screen, not for the cases' folder.
    """

    cases: tuple[ManifestCase, ...]
    already: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """series: the CT series of each sub-folder that has one; segmentations: the SEG files that refer to each series."""

    series: Mapping[Path, frozenset[str]]
    segmentations: Mapping[str, tuple[Path, ...]]
    problems: tuple[str, ...]


def import_folder(
    root: Path,
    out: Path,
    *,
    institution: str,
    key: bytes,
    negative: bool = False,
    keep_dicom: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Imports every sub-folder of `root` that holds a CT series, and writes or lengthens `out`/manifest.csv.

    A segmentation may lie anywhere below `root`: Referenced Series Sequence pairs it with its series, never a name.
    Cases are named by a pseudonym of their series, since folders may bear patients' names; those that the manifest
    lists already are passed over. negative: a series without a segmentation has no aneurysm; else its case gets no
    label. A series that cannot be used is told, and the others go on.

    Raises CasesError where `root` is no folder or holds no series, where `out` lies within it, or where `negative`
    could be wrong because a file cannot be read or a segmentation not be paired. Raises OSError.
    """
    _check_folders(root, out)
    found = _look_through(root)
    if not found.series:
        raise CasesError(root, [*found.problems, "none of its sub-folders holds a CT series"])
    if negative and found.problems:
        raise CasesError(root, [*found.problems, "while this is so, no series can be called negative"])
    write = partial(import_series, out=out, institution=institution, key=key, keep_dicom=keep_dicom)
    listed = read_manifest(out / MANIFEST) if (out / MANIFEST).exists() else ()
    there = {case.case for case in listed}
    cases: list[ManifestCase] = []
    already: list[str] = []
    problems = list(found.problems)
    for number, folder in enumerate(found.series, start=1):
        try:
            series, seg = _choose(folder, found)
            name = case_pseudonym(key, series)
            if name in there:
                already.append(name)
            else:
                cases.append(write(folder, seg, case=name, negative=negative and seg is None))
                there.add(name)
                write_manifest(out / MANIFEST, [*listed, *cases])
        except CasesError as problem:
            problems.append(str(problem))
        if progress:
            progress(folder.name, number, len(found.series))
    return Imported(tuple(cases), tuple(already), tuple(problems))


def _check_folders(root: Path, out: Path) -> None:
    if not root.is_dir():
        raise CasesError(root, ["there is no such folder"])
    if out.resolve().is_relative_to(root.resolve()):
        raise CasesError(root, [f"{out} would be written among the DICOM files; name a folder apart from them"])


def _look_through(root: Path) -> _Found:
    series: dict[Path, frozenset[str]] = {}
    segmentations: dict[str, list[Path]] = defaultdict(list)
    problems: list[str] = []
    for entry in sorted(root.iterdir()):
        try:
            headers = list(read_headers(entry))
        except CasesError as problem:
            problems.append(str(problem))
            continue
        found = {_series(header) for _, header in headers if header.get("SOPClassUID") in CT_CLASSES}
        if found and entry.is_dir():
            series[entry] = frozenset(found)
        elif found:
            problems.append(f"{entry}: a CT image outside the sub-folders; put its series into one")
        for path, header in headers:
            if header.get("SOPClassUID") in SEGMENTATION_CLASSES:
                for uid in referenced_series(header) or {""}:
                    segmentations[uid].append(path)
    known = frozenset().union(*series.values())
    problems += [
        f"{path}: the segmentation refers to no series that is here"
        for uid, paths in segmentations.items()
        if uid not in known
        for path in paths
    ]
    return _Found(series, {uid: tuple(paths) for uid, paths in segmentations.items()}, tuple(problems))


def _series(header: Any) -> str:
    return str(header.get("SeriesInstanceUID") or "").strip()


def _choose(folder: Path, found: _Found) -> tuple[str, Path | None]:
    """The series of a sub-folder, and its segmentation where there is one."""
    if len(found.series[folder]) != 1:
        raise CasesError(folder, [f"it holds {len(found.series[folder])} CT series; put each into a sub-folder"])
    (series,) = found.series[folder]
    paths = found.segmentations.get(series, ())
    if len(paths) > 1:
        named = ", ".join(map(str, paths))
        raise CasesError(folder, [f"{len(paths)} segmentations refer to it ({named}); leave the one that counts"])
    return series, paths[0] if paths else None
