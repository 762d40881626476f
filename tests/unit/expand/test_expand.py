"""What `expand` promises: old ids and rows untouched, new pieces that text can reach, rows that start as a mean."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from components.data.documents import Document, write_documents
from components.errors import EmptyCorpus, InputError, ParameterError, TokenizerMismatch
from components.expand.passthrough import PassthroughExpander
from components.expand.sentencepiece import SentencePieceExpander
from components.models.folder import EMBEDDING, HEAD
from components.tokenizers.conversion import write_fast_tokenizer
from components.tokenizers.load import load_tokenizer
from components.tokenizers.sentencepiece import read_proto, tokenizer_of, without_prefix
from tests.support.builders.vocabularies import ENGLISH, JAPANESE, tiny_proto, train_proto, write_tokenizer
from tests.support.fakes import make_context

PROTO = tiny_proto()
PIECES = len(PROTO.pieces)
BARE = tokenizer_of(without_prefix(PROTO))
FIELDS = {
    "kind": "sentencepiece", "version": 2, "pieces": PIECES + 48 - PIECES % 16, "multiple_of": 16, "padding_rows": 0,
    "base_padding_rows": 0, "text": [{"text": "ja/*", "weight": 1.0}], "maximum_characters": 10_000, "segmentation": None,
    "trained_pieces": 500, "character_coverage": 1.0,
    "characters": {"hiragana": None, "katakana": None, "kanji": None}, "initialise": {"kind": "mean_of_subpieces"}, "seed": 1,
}


def document(number: int, text: str, language: str = "ja") -> Document:
    return Document(id=f"{number:016x}", source="essays", language=language, uri=f"essay:{number}", text=text)


def write_text(folder: Path) -> Path:
    write_documents(folder / "train/ja/essays.jsonl.gz", [document(n, text) for n, text in enumerate(JAPANESE)])
    write_documents(folder / "heldout/ja.jsonl.gz", [document(9, "橋の上で舟を数え、帳面に書き留めた。")])
    write_documents(folder / "heldout/en.jsonl.gz", [document(9, ENGLISH[3], "en")])
    return folder


def write_model(folder: Path, *, rows: int = PIECES, tied: bool = False, dtype: torch.dtype = torch.bfloat16) -> Path:
    """A model folder as `transformers` writes it, with one small matrix beside the ones that grow."""
    write_tokenizer(folder, PROTO)
    generator = torch.Generator().manual_seed(7)
    shapes = {EMBEDDING: (rows, 8), "model.norm.weight": (8,)} | ({} if tied else {HEAD: (rows, 8)})
    tensors = {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {"model_type": "mistral", "vocab_size": rows, "tie_word_embeddings": tied, "max_position_embeddings": 64}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def expand(folder: Path, model: Path, **changes: Any) -> Any:
    """Runs the expander on the small essays; the enlarged model is `folder/enlarged`."""
    fields = SentencePieceExpander.model_validate(FIELDS | changes)
    return fields.run(make_context(folder), model, write_text(folder / "text"), folder / "enlarged")


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


# the weights

@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_expanded_model_keeps_old_bits_and_starts_new_rows_from_subpieces(tmp_path: Path, tied: bool) -> None:
    model = write_model(tmp_path / "model", tied=tied)
    report = expand(tmp_path, model)
    old, new = load_file(model / "model.safetensors"), load_file(tmp_path / "enlarged/model.safetensors")
    assert new.keys() == old.keys() == {EMBEDDING, "model.norm.weight"} | (set() if tied else {HEAD})
    assert bits(new["model.norm.weight"]) == bits(old["model.norm.weight"])
    proto = read_proto(tmp_path / "enlarged")
    for name in {EMBEDDING, HEAD} & new.keys():
        assert new[name].shape == (report.pieces, 8)
        assert bits(new[name][:PIECES]) == bits(old[name])
        for place in range(PIECES, report.pieces):
            ids = BARE.encode(proto.pieces[place].piece)
            mean = np.mean(old[name][ids].float().numpy(), axis=0, dtype=np.float32)
            assert bits(new[name][place]) == bits(torch.from_numpy(mean).to(torch.bfloat16))


def test_folder_report_and_config_agree_on_the_size(tmp_path: Path) -> None:
    report = expand(tmp_path, write_model(tmp_path / "model"))
    folder = tmp_path / "enlarged"
    assert report.pieces == FIELDS["pieces"] == PIECES + report.added_pieces == load_tokenizer(folder).pieces
    assert json.loads((folder / "config.json").read_text())["vocab_size"] == report.pieces
    assert len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]) == report.pieces
    expansion = json.loads((folder / "expansion.json").read_text())
    assert expansion["added"] == [piece.piece for piece in read_proto(folder).pieces[PIECES:]]
    assert report.tokens_per_character_after["en"] == report.tokens_per_character_before["en"]
    assert report.tokens_per_character_after["ja"] < report.tokens_per_character_before["ja"]
    assert "pieces; tokens per character en" in report.headline()


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    for name in ("one", "two"):
        expand(tmp_path / name, model)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "enlarged").iterdir()} for name in ("one", "two")
    )
    assert one == two


def test_every_new_piece_is_what_its_own_text_splits_into(tmp_path: Path) -> None:
    expand(tmp_path, write_model(tmp_path / "model"))
    proto = read_proto(tmp_path / "enlarged")
    bare = tokenizer_of(without_prefix(proto))
    places = range(PIECES, len(proto.pieces))
    assert [bare.encode(proto.pieces[place].piece) for place in places] == [[place] for place in places]


# what is refused

def broken(folder: Path, change: str) -> Path:
    """A model folder with one thing wrong."""
    model = write_model(folder, rows=PIECES + 8 if change == "rows" else PIECES, tied=change == "head")
    if change == "head":
        config = json.loads((model / "config.json").read_text()) | {"tie_word_embeddings": False}
        (model / "config.json").write_text(json.dumps(config))
    if change == "head rows":
        tensors = load_file(model / "model.safetensors")
        save_file(tensors | {HEAD: torch.cat([tensors[HEAD], tensors[HEAD]])}, model / "model.safetensors")
    if change == "damaged":
        (model / "model.safetensors").write_bytes(b"<html>not found</html>")
    if change == "cut off":
        whole = (model / "model.safetensors").read_bytes()
        (model / "model.safetensors").write_bytes(whole[:-100])
    if change == "weights":
        (model / "model.safetensors").unlink()
    if change == "special twice":
        special = {"added_tokens_decoder": {"1": {"content": "<s>"}, "7": {"content": "<s>"}}}
        (model / "tokenizer_config.json").write_text(json.dumps(special))
    if change == "no positions":
        config = json.loads((model / "config.json").read_text()) | {"max_position_embeddings": None}
        (model / "config.json").write_text(json.dumps(config))
    if change == "two tokenizers":
        write_fast_tokenizer(model, 64)
        specification = json.loads((model / "tokenizer.json").read_text())
        specification["model"]["merges"] = specification["model"]["merges"][5:] + specification["model"]["merges"][:5]
        (model / "tokenizer.json").write_text(json.dumps(specification))
    if change == "another class":
        (model / "tokenizer.model").write_bytes(train_proto(ENGLISH, 320, model_type="unigram").SerializeToString())
    return model


@pytest.mark.parametrize(("change", "error", "words"), [
    ("rows", TokenizerMismatch, f"{PIECES} pieces but the embedding has {PIECES + 8} rows"),
    ("head", InputError, "holds no lm_head.weight"),
    ("head rows", TokenizerMismatch, f"{PIECES} pieces but lm_head.weight has {2 * PIECES} rows"),
    ("weights", InputError, "model.safetensors does not exist"),
    ("damaged", InputError, "is not a whole safetensors file"),
    ("cut off", InputError, "is not a whole safetensors file"),
    ("special twice", InputError, r"'<s>' is stated 2 times, with the ids \[1, 7\]; one id was expected"),
    ("another class", InputError, "not met: BPE, not unigram"),
    ("no positions", InputError, "max_position_embeddings is None; expected how many"),
    ("two tokenizers", TokenizerMismatch, r"tokenizer\.json is not the tokenizer of .*tokenizer\.model: '.*' gives \d+ ids"),
])
def test_model_that_does_not_fit_is_refused_before_training(
    tmp_path: Path, change: str, error: type[InputError], words: str
) -> None:
    with pytest.raises(error, match=words):
        expand(tmp_path, broken(tmp_path / "model", change))
    assert not (tmp_path / "enlarged").exists()


def test_too_few_new_pieces_are_counted_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(EmptyCorpus, match=r"\d+ of them new to the base model; [\d,]+ are needed .* Raise"):
        expand(tmp_path, write_model(tmp_path / "model"), pieces=4096)


def test_characters_that_do_not_fit_are_counted_in_the_message(tmp_path: Path) -> None:
    targets = {"hiragana": 83, "katakana": 88, "kanji": None}
    with pytest.raises(ParameterError, match=r"hiragana asks for 83, but 33 new pieces bring it to \d+ only\. Raise expand"):
        expand(tmp_path, write_model(tmp_path / "model"), characters=targets)


def test_vocabulary_no_larger_than_the_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="kind: passthrough"):
        expand(tmp_path, write_model(tmp_path / "model"), pieces=PIECES - PIECES % 16)


def test_fewer_trained_pieces_than_characters_are_refused_in_the_trainers_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"smaller than required_chars.*expand\.trained_pieces"):
        expand(tmp_path, write_model(tmp_path / "model"), trained_pieces=301)


def test_vocabulary_that_is_no_multiple_is_refused_with_its_neighbours() -> None:
    with pytest.raises(ValidationError, match="Take 42,800 or 42,808"):
        SentencePieceExpander.model_validate(FIELDS | {"pieces": 42_801, "multiple_of": 8})


def test_text_without_japanese_is_refused(tmp_path: Path) -> None:
    model, text = write_model(tmp_path / "model"), write_text(tmp_path / "text")
    write_documents(text / "train/en/essays.jsonl.gz", [document(1, ENGLISH[0], "en")])
    fields = SentencePieceExpander.model_validate(FIELDS | {"text": [{"text": "en/*", "weight": 1.0}]})
    with pytest.raises(EmptyCorpus, match="no text but ASCII"):
        fields.run(make_context(tmp_path), model, text, tmp_path / "enlarged")


def test_text_without_held_out_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyCorpus, match=r"clean\.heldout_fraction"):
        PassthroughExpander(kind="passthrough", version=1).run(
            make_context(tmp_path), write_model(tmp_path / "model"), tmp_path / "none", tmp_path / "kept"
        )


# keep

def test_kept_vocabulary_leaves_weights_and_tokenizer_as_they_are(tmp_path: Path) -> None:
    model, output = write_model(tmp_path / "model"), tmp_path / "kept"
    report = PassthroughExpander(kind="passthrough", version=1).run(
        make_context(tmp_path), model, write_text(tmp_path / "text"), output
    )
    same: Sequence[str] = ("model.safetensors", "config.json", "tokenizer.model")
    assert [(output / name).read_bytes() for name in same] == [(model / name).read_bytes() for name in same]
    assert (output / "tokenizer.json").exists()
    assert (report.added_pieces, report.pieces) == (0, PIECES)
    assert report.tokens_per_character_before == report.tokens_per_character_after
