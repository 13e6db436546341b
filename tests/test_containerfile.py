"""What the Containerfile changes in config.toml: the receiver's address and the storage folder, and nothing else."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def test_the_image_differs_in_the_receivers_address_and_the_folder(tmp_path: Path) -> None:
    text = (REPOSITORY / "Containerfile").read_text(encoding="utf-8")
    expressions = re.findall(r"-e '([^']+)'", text)
    assert len(expressions) == 2
    file = tmp_path / "config.toml"
    shutil.copy(REPOSITORY / "config.toml", file)
    options = [word for expression in expressions for word in ("-e", expression)]
    subprocess.run(["sed", "-i", *options, str(file)], check=True)
    expected = tomllib.loads((REPOSITORY / "config.toml").read_text(encoding="utf-8"))
    expected["receiver"]["host"] = "0.0.0.0"
    expected["storage"]["folder"] = "/var/lib/glia-node/data"
    assert tomllib.loads(file.read_text(encoding="utf-8")) == expected
    assert (expected["destination"][0]["host"], expected["atna"]["host"]) == ("127.0.0.1", "127.0.0.1")
