"""What `expand` promises: old ids and rows untouched, new pieces that text can reach, rows that start as a mean."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from components.errors import EmptyCorpus, InputError, ParameterError, TokenizerMismatch
from components.expand.corpus import runs_of, sample, training_texts
from components.expand.keep import KeepVocabulary
from components.expand.sentencepiece import SentencePieceExpander
from components.expand.vocabulary import append_pieces, choose_pieces, split, train_pieces, without_prefix
from components.expand.weights import EMBEDDING, HEAD, enlarge, enlarged
from components.formats.documents import Document, write_documents
from components.formats.sentencepieces import NORMAL, read_proto, tokenizer_of
from components.formats.tokenizers import load_tokenizer
from tests.fakes import make_context
from tests.vocabularies import ENGLISH, JAPANESE, tiny_proto, write_tokenizer

PROTO = tiny_proto()
PIECES = len(PROTO.pieces)
SCORES = {piece.piece: piece.score for piece in PROTO.pieces if piece.type == NORMAL}
PIECE_TEXT = st.sampled_from(sorted(SCORES))
BARE = tokenizer_of(without_prefix(PROTO))
FIELDS = {
    "kind": "sentencepiece", "version": 1, "pieces": PIECES + 48 - PIECES % 16, "multiple_of": 16,
    "trained_pieces": 500, "text": "ja/*", "maximum_characters": 10_000, "character_coverage": 1.0,
    "initialise": "mean_of_subpieces", "seed": 1,
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


# the vocabulary

@settings(max_examples=300, deadline=None)
@given(st.text(sorted(piece for piece in SCORES if len(piece) == 1), max_size=40) | st.lists(PIECE_TEXT).map("".join))
def test_reachability_is_judged_by_the_very_splitting_of_sentencepiece(text: str) -> None:
    assert split(text, SCORES) == BARE.processor.encode(text, out_type=str)


def test_training_twice_gives_the_same_pieces() -> None:
    assert train_pieces(JAPANESE, 500, 1.0) == train_pieces(JAPANESE, 500, 1.0)


def test_new_pieces_hold_japanese_and_neither_ascii_nor_spaces() -> None:
    trained = ["read", "▁帰", "3時", "é", "→", "――", "読む", "読", "む", "帰"]
    assert choose_pieces(trained, PROTO, 10) == ["読む", "読", "む"]


def test_characters_come_before_merges_and_every_character_of_a_merge_has_a_piece() -> None:
    trained = ["試験", "職人", "試", "験", "職", "人"]
    assert choose_pieces(trained, PROTO, 4) == ["試", "験", "職", "人"]
    assert choose_pieces(trained, PROTO, 5) == ["試験", "試", "験", "職", "人"]
    assert choose_pieces(trained[:4], PROTO, 9) == ["試験", "試", "験"]


def test_piece_that_older_merges_forestall_is_left_out() -> None:
    trained, letters = ["橋舟", "雨川", "橋舟雨川"], ["橋", "舟", "雨", "川"]
    assert choose_pieces(trained, append_pieces(PROTO, letters), 9) == trained
    assert choose_pieces(trained, append_pieces(PROTO, [*letters, "舟雨"]), 9) == ["橋舟", "雨川"]  # 橋 舟雨 川


def test_base_pieces_keep_id_score_and_type_and_new_scores_fall_strictly_in_float32() -> None:
    added = [chr(0x4E00 + place) for place in range(10_800)]
    merged = append_pieces(PROTO, added)
    assert [piece.SerializeToString() for piece in merged.pieces[:PIECES]] == [
        piece.SerializeToString() for piece in PROTO.pieces
    ]
    assert merged.normalizer_spec == PROTO.normalizer_spec
    scores = np.array([piece.score for piece in merged.pieces[PIECES:]], dtype=np.float32)
    lowest = min(piece.score for piece in PROTO.pieces if piece.score > -1e8)
    assert (np.diff(scores) < 0).all()
    assert -1e8 < scores.min() < scores.max() < lowest


def test_scores_that_float32_cannot_tell_apart_are_refused() -> None:
    base = tiny_proto()
    base.pieces[-20].score = -(2.0**24) + 1
    with pytest.raises(InputError, match="not exact in float32"):
        append_pieces(base, ["橋", "舟"])


# the text

def test_sample_does_not_depend_on_the_order_of_the_files() -> None:
    documents = [document(number, f"{number}番目の舟が橋をくぐる。" * 3) for number in range(50)]
    forwards, backwards = (list(sample(order, 200, seed=1)) for order in (documents, documents[::-1]))
    assert forwards == backwards
    assert forwards != list(sample(documents, 200, seed=2))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("舟橋雨", max_size=40)), st.integers(1, 300))
def test_sample_takes_exactly_what_it_may_and_only_whole_documents_but_the_last(texts: list[str], limit: int) -> None:
    documents = [document(number, text) for number, text in enumerate(texts)]
    taken = list(sample(documents, limit, seed=1))
    whole = list(sample(documents, 10**9, seed=1))
    assert sum(map(len, taken)) == min(limit, sum(map(len, texts)))
    assert sorted(whole) == sorted(texts)
    assert "".join(taken) == "".join(whole)[:limit]


def test_training_text_is_nfkc_without_ascii_and_spaces(tmp_path: Path) -> None:
    text = "ﾂﾊﾞﾒが１２羽、barn へ\n㍻の春に\u3000帰る。"
    write_documents(tmp_path / "train/ja/essays.jsonl.gz", [document(1, text)])
    texts = training_texts(tmp_path, "ja/*", 1000, 1)
    assert list(runs_of(texts)) == ["ツバメが", "羽、", "へ", "平成の春に", "帰る。"]


def test_run_longer_than_the_trainer_accepts_is_cut_and_not_skipped() -> None:
    assert [len(run) for run in runs_of(["舟" * 2500])] == [1000, 1000, 500]


# the weights

@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_new_row_is_the_float32_mean_rounded_once(dtype: torch.dtype) -> None:
    matrix = torch.randn(40, 16, generator=torch.Generator().manual_seed(1)).to(dtype)
    subpieces = [[3], [1, 2], [5, 6, 7], [9, 9, 4, 8, 30, 31]]
    grown = enlarged(matrix, subpieces)
    assert bits(grown[:40]) == bits(matrix)
    wanted = [np.mean(matrix[rows].float().numpy(), axis=0, dtype=np.float32) for rows in subpieces]
    assert bits(grown[40:]) == bits(torch.from_numpy(np.stack(wanted)).to(dtype))


def test_rounding_each_sum_would_give_other_rows() -> None:
    """The control of the test above: in bfloat16 the order of rounding shows."""
    matrix = torch.randn(40, 16, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    twice = (matrix[5] + matrix[6] + matrix[7]) / 3
    assert bits(enlarged(matrix, [[5, 6, 7]])[40]) != bits(twice)


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


def test_shards_are_copied_through_and_the_index_counts_the_new_rows(tmp_path: Path) -> None:
    model, output = write_model(tmp_path / "model"), tmp_path / "enlarged"
    tensors = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = {name: f"model-{n:05}-of-00003.safetensors" for n, name in enumerate(sorted(tensors), 1)}
    for name, file in names.items():
        save_file({name: tensors[name]}, model / file, metadata={"format": "pt"})
    size = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": names}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    enlarge(model, output, [[1, 2], [3]])
    grown = {name: load_file(output / file)[name] for name, file in names.items()}
    untouched = names["model.norm.weight"]
    assert (output / untouched).read_bytes() == (model / untouched).read_bytes()
    written = json.loads((output / "model.safetensors.index.json").read_text())
    assert written["weight_map"] == names
    assert written["metadata"]["total_size"] == sum(t.nbytes for t in grown.values()) == size + 2 * 2 * 8 * 2


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
    return model


@pytest.mark.parametrize(("change", "error", "words"), [
    ("rows", TokenizerMismatch, f"{PIECES} pieces but the embedding has {PIECES + 8} rows"),
    ("head", InputError, "holds no lm_head.weight"),
    ("head rows", TokenizerMismatch, f"{PIECES} pieces but lm_head.weight has {2 * PIECES} rows"),
    ("weights", InputError, "model.safetensors does not exist"),
    ("damaged", InputError, "is no whole safetensors file"),
    ("cut off", InputError, "is no whole safetensors file"),
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


def test_vocabulary_no_larger_than_the_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="kind: keep"):
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
    fields = SentencePieceExpander.model_validate(FIELDS | {"text": "en/*"})
    with pytest.raises(EmptyCorpus, match="no text but ASCII"):
        fields.run(make_context(tmp_path), model, text, tmp_path / "enlarged")


def test_text_without_held_out_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyCorpus, match=r"clean\.heldout_fraction"):
        KeepVocabulary(kind="keep", version=1).run(
            make_context(tmp_path), write_model(tmp_path / "model"), tmp_path / "none", tmp_path / "kept"
        )


# keep

def test_kept_vocabulary_leaves_weights_and_tokenizer_as_they_are(tmp_path: Path) -> None:
    model, output = write_model(tmp_path / "model"), tmp_path / "kept"
    report = KeepVocabulary(kind="keep", version=1).run(
        make_context(tmp_path), model, write_text(tmp_path / "text"), output
    )
    same: Sequence[str] = ("model.safetensors", "config.json", "tokenizer.model")
    assert [(output / name).read_bytes() for name in same] == [(model / name).read_bytes() for name in same]
    assert (output / "tokenizer.json").exists()
    assert (report.added_pieces, report.pieces) == (0, PIECES)
    assert report.tokens_per_character_before == report.tokens_per_character_after
