"""`expand` on Mistral-7B-v0.1's own tokenizer and real manuals: nothing old changes, and every file agrees."""

import json
import random
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from tokenizers import Tokenizer as FastTokenizer

from components.data.documents import Document, write_documents
from components.expand.contract import ExpandReport
from components.expand.sentencepiece import SentencePieceExpander
from components.models.folder import EMBEDDING, HEAD
from components.tokenizers.conversion import write_fast_tokenizer
from components.tokenizers.load import load_tokenizer
from components.tokenizers.sentencepiece import read_proto, tokenizer_of
from components.tokenizers.tokenizer import Tokenizer
from tests.support.fakes import make_context

BASE, PIECES = 32_000, 34_000
FIELDS = {
    "kind": "sentencepiece", "version": 2, "pieces": PIECES, "multiple_of": 8, "padding_rows": 0, "base_padding_rows": 0,
    "text": [{"text": "ja/*", "weight": 1.0}], "maximum_characters": 4_000_000, "segmentation": None,
    "trained_pieces": 4000, "character_coverage": 0.9997, "characters": {"hiragana": 83, "katakana": 87, "kanji": 1600},
    "initialise": {"kind": "mean_of_subpieces"}, "seed": 1234,
}
READ_BACK = """
import json, sys
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
lines = json.load(sys.stdin)
ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
json.dump({
    "class": type(tokenizer).__name__, "size": len(tokenizer), "length": tokenizer.model_max_length,
    "specials": [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id],
    "ids": ids,
    "with_bos": tokenizer(lines[:500])["input_ids"],
    "texts": [tokenizer.decode(line) for line in ids[:10_000]],
    "texts_without_bos": [tokenizer.decode([1, *line], skip_special_tokens=True) for line in ids[:500]],
}, sys.stdout)
"""
ODD_LINES = [
    "", " ", "  leading", "trailing  ", "\t\tif x:", " " * 33 + "deep", "a\nb\r\nc", "😀👨‍👩‍👧‍👦🇯🇵", "𠮷野家の鱻龘",
    "</s><s>[INST]<unk>", "<0x0A>", "\x00\x7f", "ﾊﾝｶｸ ｶﾅ", "e\u0301 ｅ", "今日は Python 3.11 で書く。",
    "\u3000字下げ", "〜ー－", "ゔゐゑヵヶ",
]


@dataclass
class Line:
    """What the stage was given and what it wrote."""

    model: Path
    output: Path
    report: ExpandReport


@pytest.fixture(scope="module")
def prose(manuals: dict[str, list[str]]) -> dict[str, list[str]]:
    """The manuals' whole pages, and then their lines, each once."""
    lines = {language: [line for page in pages for line in page.split("\n")] for language, pages in manuals.items()}
    return {language: list(dict.fromkeys([*pages, *lines[language]])) for language, pages in manuals.items()}


@pytest.fixture(scope="module")
def line(
    mistral_tokenizer: Path, manuals: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Line:
    """A tiny random Mistral in several shards with the real tokenizer, and what `expand` makes of it."""
    from transformers import MistralConfig, MistralForCausalLM

    folder = tmp_path_factory.mktemp("expand")
    torch.manual_seed(1)
    config = MistralConfig(
        vocab_size=BASE, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256,
    )
    MistralForCausalLM(config).to(torch.bfloat16).save_pretrained(folder / "model", max_shard_size="2MB")
    (folder / "model/tokenizer.model").write_bytes(mistral_tokenizer.read_bytes())
    write_fast_tokenizer(folder / "model", 256)
    for language, pages in manuals.items():
        texts = [unicodedata.normalize("NFKC", page) for page in pages]
        documents = [
            Document(id=f"{n:016x}", source="manual", language=language, uri=f"page:{n}", text=text)
            for n, text in enumerate(texts)
        ]
        write_documents(folder / f"text/heldout/{language}.jsonl.gz", documents[:1])
        write_documents(folder / f"text/train/{language}/manual.jsonl.gz", documents[1:])
    report = SentencePieceExpander.model_validate(FIELDS).run(
        make_context(folder), folder / "model", folder / "text", folder / "enlarged"
    )
    return Line(folder / "model", folder / "enlarged", report)


def read_back(folder: Path, lines: list[str]) -> dict[str, object]:
    """What `AutoTokenizer` says in a process of its own."""
    command = [sys.executable, "-c", READ_BACK, str(folder)]
    done = subprocess.run(command, input=json.dumps(lines), capture_output=True, text=True, check=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def scrambled(tokenizer: Tokenizer, count: int) -> list[str]:
    """Lines of pieces in random order, new ones often: where two ways of joining disagree, this finds it."""
    rng = random.Random(1)
    texts = [tokenizer.processor.id_to_piece(number).replace("\u2581", " ") for number in range(259, tokenizer.pieces)]
    pool = [*texts, *(texts[BASE - 259:] * 8), *([" ", "  ", "\n"] * 500)]
    return ["".join(rng.choices(pool, k=rng.randint(1, 30))) for _ in range(count)]


@pytest.mark.parametrize("which", ["model", "output"])
def test_auto_tokenizer_in_a_clean_process_agrees_with_sentencepiece_on_every_line(
    line: Line, prose: dict[str, list[str]], code: list[str], which: str
) -> None:
    folder = getattr(line, which)
    tokenizer = load_tokenizer(folder)
    lines = [*ODD_LINES, *prose["ja"], *prose["en"], *scrambled(tokenizer, 5_000), *code]
    answer, ids = read_back(folder, lines), [tokenizer.encode(text) for text in lines]
    assert len(lines) > 60_000
    assert answer["ids"] == ids
    assert answer["with_bos"] == [[tokenizer.bos, *row] for row in ids[:500]]
    assert answer["texts"] == [tokenizer.decode(row) for row in ids[:10_000]]
    assert answer["texts_without_bos"] == [tokenizer.decode(row) for row in ids[:500]]
    assert (answer["size"], answer["length"], answer["specials"]) == (tokenizer.pieces, 256, [1, 2, 0])


def test_english_and_code_are_split_as_before(line: Line, prose: dict[str, list[str]], code: list[str]) -> None:
    old, new = load_tokenizer(line.model), load_tokenizer(line.output)
    for text in (*prose["en"], *code):
        assert new.encode(text) == old.encode(text)


def test_every_line_survives_the_round_trip(line: Line, prose: dict[str, list[str]], code: list[str]) -> None:
    tokenizer = load_tokenizer(line.output)
    for text in (*ODD_LINES, *prose["ja"], *prose["en"], *code):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_base_pieces_are_bit_identical_and_new_ones_reachable(line: Line) -> None:
    old, new = read_proto(line.model), read_proto(line.output)
    assert list(new.pieces[:BASE]) == list(old.pieces)
    assert new.normalizer_spec == old.normalizer_spec
    new.normalizer_spec.add_dummy_prefix = False
    bare = tokenizer_of(new)
    unreachable = [n for n in range(BASE, PIECES) if bare.encode(new.pieces[n].piece) != [n]]
    assert unreachable == []


def test_japanese_takes_fewer_tokens_and_english_the_same(line: Line) -> None:
    before, after = line.report.tokens_per_character_before, line.report.tokens_per_character_after
    assert after["en"] == before["en"]
    assert after["ja"] < 0.75 * before["ja"]
    assert (line.report.base_pieces, line.report.added_pieces, line.report.pieces) == (BASE, PIECES - BASE, PIECES)


def test_characters_are_counted_as_the_announcement_counts_them_and_meet_their_targets(line: Line) -> None:
    """58, 76 and 1,456 in Mistral's vocabulary: the "before" row of Swallow's announcement of 2024-03-11."""
    check = json.loads((line.output / "check.json").read_text(encoding="utf-8"))
    for found in (line.report.characters_before, check["characters_before"]["in_pieces"]):
        assert found == {"hiragana": 58, "katakana": 76, "kanji": 1456}
    for found in (line.report.characters_after, check["characters_after"]["in_pieces"]):
        assert found == {"hiragana": 83, "katakana": 87, "kanji": 1600}


def test_stage_proves_its_own_output(line: Line) -> None:
    check = json.loads((line.output / "check.json").read_text(encoding="utf-8"))
    assert [verdict["passed"] for verdict in check["verdicts"]] == [True] * 5
    assert (line.output / "check.png").read_bytes().startswith(b"\x89PNG")
    assert "58 → 83" in (line.output / "check.md").read_text(encoding="utf-8")


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=20)


@settings(max_examples=100, deadline=None)
@given(st.lists(ANY_TEXT, min_size=50, max_size=50))
def test_five_thousand_random_strings_come_back_and_split_alike_in_both_files(line: Line, texts: list[str]) -> None:
    slow, fast = load_tokenizer(line.output), fast_of(line.output)
    ids = slow.encode_batch(texts)
    assert [encoding.ids for encoding in fast.encode_batch(texts, add_special_tokens=False)] == ids
    assert [slow.decode(row) for row in ids] == [fast.decode(row) for row in ids] == texts


@cache
def fast_of(folder: Path) -> Any:
    """`tokenizer.json` as the library reads it."""
    fast = FastTokenizer.from_file(str(folder / "tokenizer.json"))
    fast.encode_special_tokens = True
    return fast


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the folder's shards."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as shard:
            found |= {name: shard.get_tensor(name) for name in shard.keys()}  # noqa: SIM118
    return found


def test_old_rows_and_other_tensors_keep_their_bits_and_new_rows_are_means(line: Line) -> None:
    old, new = tensors_of(line.model), tensors_of(line.output)
    tokenizer, proto = load_tokenizer(line.model), read_proto(line.output)
    assert old.keys() == new.keys()
    for name in old.keys() - {EMBEDDING, HEAD}:
        assert torch.equal(old[name], new[name])
    checked = 0
    for name in (EMBEDDING, HEAD):
        assert torch.equal(old[name], new[name][:BASE])
        for row in range(BASE, PIECES):
            # another road to the subpieces: behind the prefix, where it stays a piece by itself
            prefix, *subpieces = tokenizer.encode(proto.pieces[row].piece)
            if tokenizer.processor.id_to_piece(prefix) == "\u2581":
                total = old[name][subpieces].double().sum(dim=0).float()
                assert torch.equal(new[name][row], (total / len(subpieces)).to(torch.bfloat16))
                checked += 1
    assert checked > 3000


def test_enlarged_model_loads_and_says_of_english_what_it_said(line: Line, prose: dict[str, list[str]]) -> None:
    from transformers import AutoModelForCausalLM

    ids = torch.tensor([load_tokenizer(line.model).encode(prose["en"][0])[:128]])
    old, new = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        for folder in (line.model, line.output)
    )
    with torch.no_grad():
        before, after = old(ids).logits, new(ids).logits
    assert after.shape[-1] == PIECES == new.config.vocab_size
    assert torch.allclose(after[..., :BASE], before, atol=1e-6)
