"""A release's lineage is whole, in running order, and catches every change to a file."""

from pathlib import Path

import pytest

from components.errors import InputError
from components.publish.lineage import check_input, in_running_order, main, read_lineage, read_records, trace, verify
from tests.support.builders.published import STAGES, invented_digests, make_record


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Two files and their lineage."""
    folder = tmp_path / "release"
    (folder / "nested").mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "nested/weights").write_bytes(b"1234")
    trace([make_record(stage, invented_digests()) for stage in STAGES], folder).write(folder)
    return folder


def test_stages_stand_in_running_order_whatever_their_names_and_times() -> None:
    records = [make_record(stage, invented_digests()) for stage in sorted(STAGES)]
    assert [record.stage for record in in_running_order(records)] == list(STAGES)


def test_of_two_orders_that_are_both_right_the_earlier_start_decides() -> None:
    late = [make_record(stage, invented_digests(), f"2026-01-01T00:00:0{number}+00:00")
            for stage, number in (("collect", 0), ("clean", 5), ("expand", 3))]
    free = [record.model_copy(update={"inputs": {}}) for record in late]
    assert [record.stage for record in in_running_order(free)] == ["collect", "expand", "clean"]


def test_a_stage_that_took_other_bytes_than_its_producer_wrote_breaks_the_chain(tmp_path: Path) -> None:
    for stage in STAGES:
        make_record(stage, invented_digests()).write(tmp_path / stage)
    make_record("expand", invented_digests() | {"expand": "9" * 64}).write(tmp_path / "expand")
    with pytest.raises(InputError, match=r"train took model=artifacts/expand .*333333333333.* expand wrote 999999999999"):
        read_records(tmp_path)


def test_a_model_that_no_recorded_stage_wrote_is_refused() -> None:
    records = [make_record(stage, invented_digests()) for stage in STAGES]
    with pytest.raises(InputError, match="no recorded stage wrote the model"):
        check_input(records, "model", "0" * 64)


def test_the_record_of_an_earlier_release_is_no_part_of_the_lineage(tmp_path: Path) -> None:
    for stage in STAGES:
        make_record(stage, invented_digests()).write(tmp_path / stage)
    earlier = make_record("evaluate", invented_digests() | {"train": "0" * 64, "evaluate": "0" * 64})
    earlier.model_copy(update={"stage": "publish"}).write(tmp_path / "publish")
    assert [record.stage for record in read_records(tmp_path)] == list(STAGES)


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no <stage>/record\.json"):
        read_records(tmp_path)


def test_a_lineage_reads_back_as_it_was_written(release: Path) -> None:
    lineage = read_lineage(release)
    assert [stage.stage for stage in lineage.stages] == list(STAGES)
    assert set(lineage.files) == {"config.json", "nested/weights"}
    assert lineage.stages[3].parameters["learning_rate"] == 2.0e-5
    assert verify(release) == []


def test_verify_names_what_changed_what_is_missing_and_what_was_added(release: Path) -> None:
    (release / "config.json").write_text('{"vocab_size": 1}', encoding="utf-8")
    (release / "nested/weights").unlink()
    (release / "extra.bin").write_bytes(b"x")
    changed, added, missing = verify(release)
    assert changed.startswith("config.json has changed: SHA-256 ")
    assert added == "extra.bin was not part of the release"
    assert missing == "nested/weights is missing"


def test_the_command_answers_with_its_exit_code(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(release)]) == 0
    (release / "config.json").write_text("{ }", encoding="utf-8")
    assert main([str(release)]) == 1
    assert "config.json has changed" in capsys.readouterr().out
    assert main([str(release.parent)]) == 1
    assert "is not a release" in capsys.readouterr().err
