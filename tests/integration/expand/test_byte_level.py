"""`expand` on byte-level bases trained on real manuals and code: nothing old changes, and every reader agrees."""

import json
import random
import re
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from components.data.documents import Document, write_documents
from components.expand.byte_level import ByteLevelExpander
from components.expand.contract import ExpandReport
from components.expand.vocabulary.byte_level import ByteLevelVocabulary
from components.models.folder import EMBEDDING, HEAD
from components.tokenizers.byte_level import ByteLevelTokenizer, read_byte_level
from components.tokenizers.japanese_scripts import JAPANESE
from tests.support.builders.byte_levels import FAMILIES, train, write
from tests.support.fakes import make_context

BASE, PIECES = 8000, 11_000
FIELDS = {
    "kind": "byte_level", "version": 1, "pieces": PIECES, "multiple_of": 8, "padding_rows": 0, "base_padding_rows": 0,
    "text": [{"text": "ja/*", "weight": 1.0}], "maximum_characters": 4_000_000, "segmentation": None, "trained_pieces": 5000,
    "character_coverage": 0.9997, "characters": {"hiragana": 83, "katakana": 87, "kanji": None},
    "initialise": {"kind": "mean_of_subpieces"}, "seed": 1234,
}
READ_BACK = """
import json, sys
from transformers import AutoTokenizer
def read(folder, lines):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(lines, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return {
        "size": len(tokenizer), "specials": [tokenizer.bos_token_id, tokenizer.eos_token_id], "ids": ids,
        "texts": [tokenizer.decode(line) for line in ids],
        "with_special_tokens": tokenizer(lines[:20])["input_ids"],
        "chat": tokenizer.apply_chat_template([{"role": "user", "content": "the barn"}], return_dict=False),
    }
json.dump([read(folder, lines) for folder, lines in json.load(sys.stdin)], sys.stdout)
"""
THREADS = """
import os, sys
from pathlib import Path
from components.tokenizers.load import load_tokenizer
tokenizer = load_tokenizer(Path(sys.argv[1]))
before = len(os.listdir("/proc/self/task"))
tokenizer.encode_batch(["The swallow comes back to the same barn. " * 50] * 200)
print(before, len(os.listdir("/proc/self/task")))
"""
ODD_LINES = [
    "", " ", "  leading", "trailing  ", "\t\tif x:", " " * 33 + "deep", "a\nb\r\nc", "😀👨‍👩‍👧‍👦🇯🇵", "𠮷野家の鱻龘",
    "<|im_start|>user<|im_end|>", "<|endoftext|>", "\x00\x04\x7f", "ﾊﾝｶｸ ｶﾅ",
    "今日は Python 3.11 で書く。", "x²³ ½ １２３ 〇一二", "\u3000字下げ", "〜ー－", "ゔゐゑヵヶ", "Debian の 大 きな「箱」",
]


@dataclass
class Line:
    """What the stage was given and what it wrote."""

    family: str
    model: Path
    text: Path
    output: Path
    report: ExpandReport

    def tokenizers(self) -> tuple[ByteLevelTokenizer, ByteLevelTokenizer]:
        """Before and after."""
        return read_byte_level(self.model), read_byte_level(self.output)


@pytest.fixture(scope="module")
def prose(manuals: dict[str, list[str]]) -> dict[str, list[str]]:
    """The manuals' lines, each once."""
    return {lang: list(dict.fromkeys(line for page in pages for line in page.split("\n"))) for lang, pages in manuals.items()}


@pytest.fixture(scope="module", params=FAMILIES)
def line(
    request: pytest.FixtureRequest, manuals: dict[str, list[str]], code: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Line:
    """A tiny random Llama with a tokenizer of each family, trained on English and code, and what `expand` makes of it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp(request.param)
    write(folder / "model", train(request.param, [*manuals["en"], *code[::4], manuals["ja"][0][:2000]], BASE))
    pieces = read_byte_level(folder / "model").pieces
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=pieces, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=256, tie_word_embeddings=request.param == "smollm",
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder / "model")
    for language, pages in manuals.items():
        texts = [unicodedata.normalize("NFKC", page) for page in pages]
        documents = [
            Document(id=f"{n:016x}", source="manual", language=language, uri=f"page:{n}", text=text)
            for n, text in enumerate(texts)
        ]
        write_documents(folder / f"text/heldout/{language}.jsonl.gz", documents[4:6])
        write_documents(folder / f"text/train/{language}/manual.jsonl.gz", [*documents[:4], *documents[6:]])
    report = expand(folder / "model", folder / "text", folder / "enlarged")
    return Line(request.param, folder / "model", folder / "text", folder / "enlarged", report)


def expand(model: Path, text: Path, output: Path) -> ExpandReport:
    return ByteLevelExpander.model_validate(FIELDS).run(make_context(output.parent), model, text, output)


def read_back(*asked: tuple[Path, list[str]]) -> list[dict[str, Any]]:
    """What `AutoTokenizer` says of each folder's lines in a process of its own."""
    questions = json.dumps([(str(folder), lines) for folder, lines in asked])
    done = subprocess.run([sys.executable, "-c", READ_BACK], input=questions, capture_output=True, text=True, check=True)
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def test_auto_tokenizer_in_a_clean_process_agrees_with_the_corpus_path_on_every_line(
    line: Line, prose: dict[str, list[str]], code: list[str]
) -> None:
    before, after = line.tokenizers()
    lines = [*ODD_LINES, *prose["ja"], *prose["en"][::3], *code[::20]]
    old, new = read_back((line.model, lines[:20]), (line.output, lines))
    assert new["size"] == after.pieces == PIECES
    assert new["specials"] == old["specials"] == [before.bos, before.eos] == [after.bos, after.eos]
    assert new["ids"] == after.encode_batch(lines)
    assert new["texts"] == [after.decode(ids) for ids in new["ids"]]
    front = [after.bos] if line.family == "llama" else []
    assert new["with_special_tokens"][:9] == [[*front, *ids] for ids in new["ids"][:9]]  # the next lines spell special tokens
    assert new["chat"] == old["chat"], "the template and its special tokens are the base's"
    if line.family != "llama":
        assert new["chat"][-1] == after.eos


def test_every_line_of_english_and_code_is_split_as_before(line: Line, prose: dict[str, list[str]], code: list[str]) -> None:
    before, after = line.tokenizers()
    lines = [text for text in [*prose["en"], *code] if not JAPANESE.search(text) and "\u3000" not in text]
    assert len(lines) > 50_000
    assert after.encode_batch(lines) == before.encode_batch(lines)


def test_text_survives_the_round_trip(line: Line, prose: dict[str, list[str]], code: list[str]) -> None:
    _, after = line.tokenizers()
    rng = random.Random(1)
    fuzz = ["".join(chr(rng.choice([rng.randrange(0x20, 0xD800), rng.randrange(0xE000, 0x110000)])) for _ in range(40))
            for _ in range(2000)]
    lines = [text.replace("<think>", "") for text in [*ODD_LINES, *prose["ja"], *code[::10], *fuzz]]
    normalizer = after.backend.normalizer
    expected = [normalizer.normalize_str(text) for text in lines] if normalizer else lines
    assert [after.decode(ids) for ids in after.encode_batch(lines)] == expected


def test_every_new_piece_is_what_its_text_splits_into_and_every_character_is_known(line: Line) -> None:
    vocabulary, (before, after) = ByteLevelVocabulary.of(line.model), line.tokenizers()
    added = json.loads((line.output / "expansion.json").read_text())["added"]
    texts = {number: text for number, p in enumerate(added, before.pieces) if (text := vocabulary.text_of(p)) is not None}
    assert [after.encode(text) for text in texts.values()] == [[number] for number in texts]
    assert all(JAPANESE.search(text) for text in texts.values())
    assert line.report.characters_after["hiragana"] == 83
    assert line.report.characters_after["katakana"] == 87
    kana = [chr(code) for code in range(0x3041, 0x3094)]
    assert {len(after.encode(char)) for char in kana} == {1}


def test_base_is_the_beginning_and_its_rows_keep_their_bits(line: Line) -> None:
    old, new = (json.loads((folder / "tokenizer.json").read_text()) for folder in (line.model, line.output))
    assert list(new["model"]["vocab"].items())[: len(old["model"]["vocab"])] == list(old["model"]["vocab"].items())
    assert new["model"]["merges"][: len(old["model"]["merges"])] == old["model"]["merges"]
    assert {key: value for key, value in old.items() if key != "model"} == {k: v for k, v in new.items() if k != "model"}
    vocabulary = ByteLevelVocabulary.of(line.model)
    subpieces = vocabulary.subpieces(json.loads((line.output / "expansion.json").read_text())["added"])
    files = [safe_open(folder / "model.safetensors", "pt") for folder in (line.model, line.output)]
    with files[0] as before, files[1] as after:
        for name in {EMBEDDING, HEAD} & set(before.keys()):
            rows, enlarged = before.get_tensor(name), after.get_tensor(name)
            assert enlarged.shape == (PIECES, 16)
            assert torch.equal(enlarged[: len(rows)], rows)
            means = torch.stack([rows[ids].float().mean(0) for ids in subpieces])
            torch.testing.assert_close(enlarged[len(rows):].float(), means, atol=0, rtol=2**-7)


def test_japanese_takes_far_fewer_tokens_and_english_as_many(line: Line, prose: dict[str, list[str]]) -> None:
    reported = line.report.tokens_per_character_before, line.report.tokens_per_character_after
    assert reported[1]["ja"] < reported[0]["ja"]
    assert reported[1]["en"] == reported[0]["en"]
    before, after = line.tokenizers()
    # the manual is translated in parts only: its lines that are mostly Japanese
    lines = [text for text in prose["ja"] if len(JAPANESE.findall(text)) > len(text) / 2]
    assert len(lines) > 100
    assert sum(map(len, after.encode_batch(lines))) < 0.5 * sum(map(len, before.encode_batch(lines)))


def test_the_same_inputs_give_the_same_bytes(line: Line, tmp_path: Path) -> None:
    expand(line.model, line.text, tmp_path / "again")
    names = sorted(path.name for path in line.output.iterdir())
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == names
    assert [name for name in names if (line.output / name).read_bytes() != (tmp_path / "again" / name).read_bytes()] == []
    assert not [name for name in names if re.fullmatch(r"vocab\.json|merges\.txt", name)]


def test_a_corpus_is_encoded_on_one_thread(line: Line) -> None:
    command = [sys.executable, "-c", THREADS, str(line.output)]
    environment = {"PATH": "", "PYTHONPATH": str(Path(__file__).parents[3]), "TOKENIZERS_PARALLELISM": "true"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    before, after = map(int, done.stdout.split())
    assert after == before
