"""Real inputs for the integration tests, fetched once through the ordinary package clients and kept in `.build/`."""

import sysconfig
import zipfile
from pathlib import Path

import pytest

from infra.downloads.debian import DebianPackages
from infra.downloads.pypi import PyPIWheels
from tests.support.cluster import cluster, queue

__all__ = ["cluster", "queue"]  # fixtures of the tests here

PACKAGES = Path(__file__).parents[2] / ".build/packages"
MODEL = "mistral_common/data/tokenizer.model.v1"
MANUALS = {"ja": "developers-reference-ja", "en": "developers-reference"}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before the workers start, if there are any: two that fill apt's lists at once would stand in each other's way."""
    if session.config.getoption("numprocesses", None):
        DebianPackages(PACKAGES).fetch(MANUALS["ja"], "*")


@pytest.fixture(scope="session")
def mistral_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mistral-7B-v0.1's SentencePiece model (Apache-2.0), from the wheel that ships it."""
    wheel = PyPIWheels(PACKAGES).fetch("mistral-common", "1.9.1")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(MODEL, tmp_path_factory.mktemp("mistral")))


@pytest.fixture(scope="session")
def manuals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The pages of the Debian Developer's Reference (GPL-2+) as plain text, in Japanese and in English."""
    from resiliparse.extract.html2text import extract_plain_text

    packages, folder = DebianPackages(PACKAGES), tmp_path_factory.mktemp("manuals")
    texts = {}
    for language, package in MANUALS.items():
        packages.unpack(packages.fetch(package, "*"), folder / language)
        pages = sorted(path for path in (folder / language).rglob("*.html") if path.is_file())
        texts[language] = [extract_plain_text(page.read_text(encoding="utf-8"), main_content=True) for page in pages]
    return texts


@pytest.fixture(scope="session")
def code() -> list[str]:
    """The lines of the standard library's modules, each once."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    return list(dict.fromkeys(line for path in files for line in path.read_text(encoding="utf-8").split("\n")))
