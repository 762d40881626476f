"""What a stage is about to read is what its producer's record says, or the files that are not are named."""

from pathlib import Path

import pytest

from components.errors import InputError
from components.formats.digests import digest_folder, digest_value
from components.inputs import digest_inputs, list_some
from tests.support.builders.published import invented_digests, make_record

FILES = {"train/ja.jsonl.gz": b"text", "heldout/ja.jsonl.gz": b"held out", "counts.json": b"{}"}


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output of a stage, with its record."""
    monkeypatch.chdir(tmp_path)
    output = Path("artifacts/clean")
    for name, content in FILES.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(content)
    write_record(output)
    return output


def write_record(output: Path, *, names_files: bool = True) -> None:
    files = digest_folder(output)
    folder = Path("artifacts/records/clean")
    folder.mkdir(parents=True, exist_ok=True)
    record = make_record("clean", invented_digests() | {"clean": digest_value(files)})
    record.model_copy(update={"files": files if names_files else {}}).write(folder)


def digest(path: Path) -> str:
    return digest_inputs({"text": path}, Path("artifacts/records"))["text"].sha256


def test_an_undamaged_input_has_the_digest_of_its_producers_record(clean: Path) -> None:
    assert digest(clean) == digest_value(digest_folder(clean))
    assert digest(clean / "train") == digest_value(digest_folder(clean / "train"))
    assert len(digest(clean / "counts.json")) == 64


@pytest.mark.parametrize("part", [".", "train", "train/ja.jsonl.gz"])
def test_a_changed_file_is_named_whatever_part_of_the_output_is_read(clean: Path, part: str) -> None:
    (clean / "train/ja.jsonl.gz").write_bytes(b"texT")
    with pytest.raises(InputError, match=r"artifacts/clean/train/ja.jsonl.gz is not what clean wrote: the SHA-256 differs"):
        digest(clean / part)


def test_a_part_that_is_whole_may_be_read_beside_one_that_is_not(clean: Path) -> None:
    (clean / "counts.json").write_bytes(b"")
    assert digest(clean / "train")
    with pytest.raises(InputError, match=r"^artifacts/clean/counts.json is not what clean wrote"):
        digest(clean)


def test_lost_and_additional_files_are_named(clean: Path) -> None:
    (clean / "counts.json").unlink()
    (clean / "more.txt").write_bytes(b"")
    with pytest.raises(InputError, match=r"^artifacts/clean/counts.json, artifacts/clean/more.txt is not"):
        digest(clean)


def test_a_record_that_names_no_files_still_tells_that_its_output_changed(clean: Path) -> None:
    write_record(clean, names_files=False)
    assert digest(clean)
    (clean / "counts.json").write_bytes(b"")
    with pytest.raises(InputError, match=r"^artifacts/clean is not what clean wrote"):
        digest(clean)


def test_an_input_that_no_stage_wrote_is_taken_as_it_is(clean: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    assert digest(tmp_path / "elsewhere")


def test_of_many_files_a_few_are_named() -> None:
    assert list_some("abc") == "a, b, c"
    assert list_some("abcdefgh") == "a, b, c, d, e (and 3 more)"
