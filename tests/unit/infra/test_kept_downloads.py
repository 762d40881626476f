"""A file of the download cache is used only if it is what was fetched."""

from pathlib import Path

import pytest

from components.errors import SourceMissing
from infra.downloads.kept import damage_of, keep, note_of, whole_or_fetched
from tests.support.builders.damage import DAMAGES, damage

BODY = b"the bytes of a package" * 100


def fetched(folder: Path, body: bytes = BODY) -> Path:
    """As an adapter fetches: into a file beside, which then gets its name."""
    partial = folder / "partial"
    partial.write_bytes(body)
    return keep(partial, folder / "nest-1-py3-none-any.whl")


def test_a_whole_file_is_used_without_asking_anybody(tmp_path: Path) -> None:
    path = fetched(tmp_path)
    assert whole_or_fetched(path, lambda: pytest.fail("nothing had to be fetched")) == path


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_fetched_again_and_that_is_said(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetched(tmp_path)
    damage(path, kind)
    assert whole_or_fetched(path, lambda: fetched(tmp_path)).read_bytes() == BODY
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{path} is damaged: expected SHA-256 ")
    assert line.endswith("; it is fetched again")
    assert damage_of(path) == ""


@pytest.mark.parametrize("kind", [*DAMAGES, "removed"])
def test_a_file_whose_note_is_damaged_or_gone_is_not_trusted(tmp_path: Path, kind: str) -> None:
    path = fetched(tmp_path)
    damage(note_of(path), kind)
    assert damage_of(path)
    if kind != "flip":  # a note that is still a digest: nobody can tell which of the two is right
        assert whole_or_fetched(path, lambda: fetched(tmp_path)).read_bytes() == BODY
        assert damage_of(path) == ""


def test_what_cannot_be_fetched_again_is_named_with_both_digests(tmp_path: Path) -> None:
    path = fetched(tmp_path)
    damage(path, "cut")

    def away() -> Path:
        raise SourceMissing("the index is away. Check the network.")

    with pytest.raises(SourceMissing, match=rf"{path} is damaged: expected SHA-256 [0-9a-f]{{64}}, found [0-9a-f]{{64}}. "
                                            "It could not be fetched again: the index is away. Check the network."):
        whole_or_fetched(path, away)


def test_other_bytes_under_the_same_name_are_refused(tmp_path: Path) -> None:
    path = fetched(tmp_path)
    damage(path, "cut")
    with pytest.raises(SourceMissing, match=rf"other bytes than before: .*If the change is meant, delete {note_of(path)}"):
        whole_or_fetched(path, lambda: fetched(tmp_path, b"another wheel"))
    note_of(path).unlink()
    assert fetched(tmp_path, b"another wheel").read_bytes() == b"another wheel"


def test_a_folder_under_the_name_is_replaced(tmp_path: Path) -> None:
    path = fetched(tmp_path)
    path.unlink()
    path.mkdir()
    assert "cannot be read" in damage_of(path)
    assert whole_or_fetched(path, lambda: fetched(tmp_path)).read_bytes() == BODY


def test_a_better_wheel_takes_the_place_of_a_damaged_one(tmp_path: Path) -> None:
    path, other = fetched(tmp_path), tmp_path / "nest-1-cp311-cp311-linux_x86_64.whl"
    damage(path, "cut")

    def better() -> Path:
        (tmp_path / "partial").write_bytes(b"compiled")
        return keep(tmp_path / "partial", other)

    assert whole_or_fetched(path, better) == other
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, note_of(other).name]
