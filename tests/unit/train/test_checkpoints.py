"""Which checkpoint is gone on from, which are kept, and what is read back of their fragments."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from components.base.ports import Context
from components.errors import CheckpointRefused, WorkerFailed
from components.formats.files import write_json
from components.train.checkpoint import store
from components.train.checkpoint.fragments import Fragment, FragmentFiles, write_fragments
from components.train.checkpoint.start import Start, find_start
from components.train.checkpoint.store import CheckpointManifest, checkpoint_path, commit, facts_of, newest, prune
from components.train.export_check import check_export
from components.train.parameters import CheckpointRetention
from tests.support.builders.tiny_training import ARCHITECTURE, prepare, trainer
from tests.support.fakes import make_context


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A process group of one."""
    dist.init_process_group("gloo", init_method=(tmp_path / "rendezvous").as_uri(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def write_checkpoint(
    folder: Path, step: int, fingerprint: str = "f" * 64, processes: int = 2, bits: float | None = None
) -> Path:
    saving = store.saving_path(folder, step)
    state = saving / "state/rank-00000.safetensors"
    write_fragments(state, [Fragment("weight", "norm", 0, torch.full([25], float(step)))])
    files = {"state/rank-00000.safetensors": facts_of(state)}
    manifest = CheckpointManifest(
        fingerprint=fingerprint, step=step, processes=processes, probe_loss=2.5, bits_per_byte=bits, files=files
    )
    commit(saving, checkpoint_path(folder, step), manifest)
    return checkpoint_path(folder, step)


def steps_in(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in folder.glob("step-*"))


def test_the_newest_whole_checkpoint_is_chosen(tmp_path: Path) -> None:
    for step in (4, 8, 12):
        write_checkpoint(tmp_path, step)
    (tmp_path / ".saving-00000016").mkdir()
    said: list[str] = []
    found = newest(tmp_path, "f" * 64, 2, said.append)
    assert found is not None
    assert (found[0], found[1].step, said) == (checkpoint_path(tmp_path, 12), 12, [])


@pytest.mark.parametrize(
    ("last", "every_steps", "kept"),
    [(2, None, [20, 24]), (1, 8, [8, 16, 24]), (2, 12, [12, 20, 24]), (9, None, [4, 8, 12, 16, 20, 24])],
)
def test_the_last_ones_are_kept_and_every_nth_for_good(
    last: int, every_steps: int | None, kept: list[int], tmp_path: Path
) -> None:
    for step in range(4, 25, 4):
        write_checkpoint(tmp_path, step)
        prune(tmp_path, CheckpointRetention(last=last, every_steps=every_steps, best=False))
    assert steps_in(tmp_path) == kept


@pytest.mark.parametrize(("best", "kept"), [(True, [8, 24]), (False, [24])])
def test_the_best_one_on_heldout_text_is_kept_until_a_better_one_comes(best: bool, kept: list[int], tmp_path: Path) -> None:
    there = []
    for step, bits in {4: 2.5, 8: 2.0, 12: 2.25, 16: 2.0, 20: None, 24: 3.0}.items():  # stopped by a signal after 20
        write_checkpoint(tmp_path, step, bits=bits)
        prune(tmp_path, CheckpointRetention(last=1, every_steps=None, best=best))
        there.append(steps_in(tmp_path))
    assert there[0] == [4]
    assert steps_in(tmp_path) == kept


@pytest.mark.parametrize("damage", ["changed", "cut", "missing", "manifest"])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(damage: str, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 4)
    file = write_checkpoint(tmp_path, 8) / "state/rank-00000.safetensors"
    if damage == "changed":
        file.write_bytes(file.read_bytes()[:-4] + bytes(4))
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:50])
    if damage == "missing":
        file.unlink()
    if damage == "manifest":
        (checkpoint_path(tmp_path, 8) / "manifest.json").write_text("{")
    said: list[str] = []
    found = newest(tmp_path, "f" * 64, 2, said.append)
    assert found is not None
    assert found[0] == checkpoint_path(tmp_path, 4)
    assert len(said) == 1
    assert "step-00000008 is damaged" in said[0]


def test_there_is_nothing_to_go_on_from_where_all_are_damaged(tmp_path: Path) -> None:
    (write_checkpoint(tmp_path, 4) / "manifest.json").unlink()
    said: list[str] = []
    assert newest(tmp_path, "f" * 64, 2, said.append) is None
    assert len(said) == 1


def test_a_checkpoint_of_other_parameters_is_refused(inputs: Path, tmp_path: Path) -> None:
    context: Context = make_context(tmp_path)
    write_checkpoint(context.scratch / "checkpoints", 4, fingerprint="a" * 64)
    with pytest.raises(CheckpointRefused, match="belongs to other parameters or data: its fingerprint is aaaaaaaaaaaaaaaa…"):
        trainer().run(context, model=inputs / "model", tokens=inputs / "tokens", output=tmp_path / "output")


def test_a_checkpoint_of_another_number_of_processes_is_gone_on_from_and_said(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], alone: None
) -> None:
    context: Context = make_context(tmp_path)
    write_checkpoint(context.scratch / "checkpoints", 4, processes=16)
    attempt = trainer()._request(context, inputs / "model", inputs / "tokens")
    assert find_start(attempt) == Start(checkpoint_path(attempt.scratch / "checkpoints", 4), 4)
    words = "resuming from step-00000004, 4 of 16 steps are done (written by 16 processes, read by 1)"
    assert words in capsys.readouterr().out


def test_a_training_that_finished_is_not_started_again(inputs: Path, tmp_path: Path) -> None:
    context: Context = make_context(tmp_path)
    write_json(context.scratch / "outcome.json", {"finished": True, "signal": None, "done": 16})
    (context.scratch / "model").mkdir()
    assert trainer()._train(context, inputs / "model", inputs / "tokens") == context.scratch.absolute() / "model"


@given(
    values=st.integers(1, 60),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    first=st.integers(0, 59),
    count=st.integers(1, 60),
)
def test_any_range_is_read_back_to_the_bit_however_it_was_cut(
    values: int, dtype: torch.dtype, cuts: list[int], first: int, count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, whole = tmp_path_factory.mktemp("state"), torch.randn(values).to(dtype)
    edges = sorted({0, values, *(cut for cut in cuts if cut < values)})
    for rank, (start, end) in enumerate(pairwise(edges)):
        # an odd number of 16-bit values in front leaves the others at odd places
        fragments = [Fragment("exp_avg", "a", 0, torch.ones(3, dtype=torch.bfloat16))] if rank == 0 else []
        write_fragments(folder / f"rank-{rank:05d}.safetensors", [*fragments, Fragment("weight", "a", start, whole[start:end])])
    files = FragmentFiles(folder)
    first, count = min(first, values - 1), min(count, values - min(first, values - 1))
    assert torch.equal(files.read("weight", "a", first, count), whole[first : first + count])
    with pytest.raises(CheckpointRefused, match=rf"holds {values - first:,} of {values + 1 - first:,} values of a \(weight\)"):
        files.read("weight", "a", first, values + 1 - first)


def test_a_checkpoint_without_a_ranks_file_is_refused(tmp_path: Path) -> None:
    for rank, start in ((0, 0), (2, 20)):
        write_fragments(tmp_path / f"rank-{rank:05d}.safetensors", [Fragment("weight", "a", start, torch.ones(10))])
    with pytest.raises(CheckpointRefused, match=r"holds 10 of 30 values of a \(weight\) from 0 on"):
        FragmentFiles(tmp_path).read("weight", "a", 0, 30)


def write_exported(folder: Path, **changes: object) -> Path:
    """A model folder with the names and shapes that the tiny training's would have."""
    from safetensors.torch import save_file

    config = {
        "vocab_size": 400, "max_position_embeddings": 64, "rope_theta": 10000.0, "dtype": "bfloat16", "use_cache": True,
        "tie_word_embeddings": False, "num_hidden_layers": 2,
    }  # fmt: skip
    rows = torch.zeros(400, 32, dtype=torch.bfloat16)
    tensors = {"model.embed_tokens.weight": rows, "lm_head.weight": rows.clone()}
    for name, value in changes.items():
        if isinstance(value, torch.Tensor):
            tensors[name] = value
        elif name in tensors:
            del tensors[name]
        else:
            config[name] = value  # type: ignore[assignment]
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    write_json(folder / "config.json", config)
    return folder


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_position_embeddings": 32768}, r"max_position_embeddings is 32768 in config\.json; expected 64"),
        ({"rope_theta": None}, r"rope_theta is None in config\.json; expected 10000\.0"),
        ({"dtype": "float32"}, "dtype is 'float32' in config.json; expected 'bfloat16'"),
        ({"use_cache": False}, "use_cache is False"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings is True"),
        ({"num_local_experts": 4, "output_router_logits": True}, "output_router_logits is True .* expected False"),
        ({"num_local_experts": 4, "output_router_logits": False}, r"experts\.0\.w1\.weight is missing"),
        ({"_name_or_path": "/home/somebody/model"}, "config.json names /home/somebody/model; expected no path"),
        ({"lm_head.weight": None}, r"lm_head\.weight is missing and tie_word_embeddings is False"),
        ({"model.norm.weight": torch.zeros(32)}, "the tensors are BF16, F32; expected BF16"),
    ],
)
def test_an_export_that_is_not_what_was_trained_is_refused(changes: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed, match=words):
        check_export(write_exported(tmp_path / "model", **changes), tmp_path, trainer().training, 400)


def test_an_export_that_is_what_was_trained_passes(tmp_path: Path) -> None:
    check_export(write_exported(tmp_path / "model"), tmp_path, trainer().training, 400)


def test_an_export_with_another_shape_than_it_was_trained_from_is_refused(tmp_path: Path) -> None:
    model = write_exported(tmp_path / "model", **{"model.norm.weight": torch.zeros(32, dtype=torch.bfloat16)})
    output = write_exported(tmp_path / "output", **{"model.norm.weight": torch.zeros(16, dtype=torch.bfloat16)})
    training = trainer(architecture=None).training
    check_export(model, model, training, 400)
    with pytest.raises(WorkerFailed, match=r"model\.norm\.weight has shape \[16\]; expected \[32\], as it was trained from"):
        check_export(output, model, training, 400)


def test_the_ropes_base_must_be_the_one_that_was_asked_for(tmp_path: Path) -> None:
    training = trainer(architecture=ARCHITECTURE | {"rope_theta": 1e6}).training
    with pytest.raises(WorkerFailed, match=r"rope_theta is 10000\.0 .* expected 1000000\.0"):
        check_export(write_exported(tmp_path / "model"), tmp_path, training, 400)
