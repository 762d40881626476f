"""A release is loaded by whoever has the folder, agrees with itself, and is refused where its parts do not belong together."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from components.errors import InputError, TokenizerMismatch
from components.evaluate.engine.plot import draw_scores
from components.formats.digests import digest_folder
from components.publish.contract import PublishReport
from components.publish.folder import FolderPublisher
from components.publish.lineage import read_lineage, verify
from components.tokenizers.fingerprint import write_tokenizer_fingerprint
from components.tokenizers.special_tokens import folder_tokenizer_fingerprint
from tests.support.builders.published import RELEASE, make_scores, write_records
from tests.support.builders.tiny_models import write_model
from tests.support.fakes import make_context

GENERATE = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], local_files_only=True)
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], local_files_only=True, dtype="auto")
tokens = tokenizer("Debianのパッケージは、", return_tensors="pt", return_token_type_ids=False)
output = model.generate(**tokens, max_new_tokens=8, do_sample=False)
sys.stdout.write(f"{tokens['input_ids'].shape[1]} {output.shape[1]} {tokenizer.decode(output[0])}")
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A trained model and its scores."""
    model = write_model(tmp_path / "model", 3)
    write_tokenizer_fingerprint(model, folder_tokenizer_fingerprint(model))
    scores = tmp_path / "scores"
    scores.mkdir()
    make_scores().write(scores)
    draw_scores(make_scores(), scores / "scores.png")
    return tmp_path


def publish(made: Path, output: str = "release", **changes: Any) -> tuple[PublishReport, Path]:
    """Records the run as it is now and publishes it."""
    shutil.rmtree(made / "records", ignore_errors=True)
    records = write_records(made / "records", made / "model", made / "scores")
    publisher = FolderPublisher.model_validate(RELEASE | changes)
    report = publisher.run(make_context(made), made / "model", made / "scores", records, made / output)
    return report, made / output


def edit_config(made: Path, **changes: Any) -> None:
    path = made / "model/config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_a_clean_process_loads_the_release_and_generates(made: Path) -> None:
    _, release = publish(made)
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    arguments = [sys.executable, "-c", GENERATE, str(release)]
    ended = subprocess.run(arguments, env=environment, text=True, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    asked, answered, text = ended.stdout.split(" ", 2)
    assert int(answered) == int(asked) + 8
    assert "Debianのパッケージは、" in text


@pytest.mark.quick
def test_a_release_in_shards_holds_the_same_weights(made: Path) -> None:
    write_model(made / "model", 3, hidden_size=256, intermediate_size=512)
    from transformers import AutoModelForCausalLM

    _, release = publish(made, maximum_shard_megabytes=1)
    assert len(list(release.glob("model-*.safetensors"))) > 1
    loaded = AutoModelForCausalLM.from_pretrained(release, local_files_only=True).state_dict()
    expected = load_file(made / "model/model.safetensors")
    assert all(loaded[name].equal(tensor) for name, tensor in expected.items())


@pytest.mark.quick
def test_a_release_holds_what_a_reader_needs_and_every_file_is_in_its_lineage(made: Path) -> None:
    report, release = publish(made)
    names = {path.name for path in release.iterdir()}
    assert names >= {"README.md", "config.json", "generation_config.json", "lineage.json", "model.safetensors", "scores.json",
                     "scores.png", "tokenizer.json", "tokenizer_fingerprint.json", "tokenizer_config.json"}
    assert set(read_lineage(release).files) == names - {"lineage.json"}
    assert verify(release) == []
    assert (report.files, report.location) == (len(names), "martlet-test")


@pytest.mark.quick
def test_the_same_inputs_give_the_same_release(made: Path) -> None:
    assert digest_folder(publish(made, "one")[1]) == digest_folder(publish(made, "two")[1])


@pytest.mark.quick
def test_config_forgets_where_it_was_trained_and_states_its_dtype(made: Path) -> None:
    edit_config(made, _name_or_path="/scratch/run-17/checkpoint", output_router_logits=True)
    _, release = publish(made)
    config = json.loads((release / "config.json").read_text(encoding="utf-8"))
    assert "_name_or_path" not in config
    assert config["dtype"] == "float32"
    assert config["output_router_logits"] is False


@pytest.mark.quick
@pytest.mark.parametrize(("changes", "error", "words"), [
    ({"vocab_size": 300}, TokenizerMismatch, "tokenizer has 259 pieces but config.json's vocab_size says 300"),
    ({"max_position_embeddings": 32768}, InputError, r"max_position_embeddings is 32768, train.maximum_positions was 2048"),
    ({"dtype": "bfloat16"}, InputError, "states dtype bfloat16, but the weights are float32"),
    ({"tokenizer_file": "/scratch/run-17/tokenizer.json"}, InputError, "tokenizer_file holds a path of this machine"),
])
def test_a_configuration_that_contradicts_the_model_is_refused(
    made: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    edit_config(made, **changes)
    with pytest.raises(error, match=words):
        publish(made)


@pytest.mark.quick
def test_an_embedding_of_another_size_than_the_tokenizer_is_refused(made: Path) -> None:
    write_model(made / "model", 3, vocab_size=264)
    with pytest.raises(TokenizerMismatch, match="259 pieces but the embedding has 264 rows"):
        publish(made)


@pytest.mark.quick
def test_a_model_that_was_changed_after_it_was_recorded_is_refused(made: Path) -> None:
    records = write_records(made / "records", made / "model", made / "scores")
    write_model(made / "model", 4)
    publisher = FolderPublisher.model_validate(RELEASE)
    with pytest.raises(InputError, match="no recorded stage wrote the model"):
        publisher.run(make_context(made), made / "model", made / "scores", records, made / "release")


@pytest.mark.quick
def test_scores_without_their_picture_are_refused(made: Path) -> None:
    (made / "scores/scores.png").unlink()
    with pytest.raises(InputError, match=r"scores.png does not exist. Run `dvc repro evaluate`"):
        publish(made)
