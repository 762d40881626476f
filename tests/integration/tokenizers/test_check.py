"""`martlet tokenizer check` on Mistral-7B-v0.1's own tokenizer: the numbers of its announcement, the files, the exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.expand.vocabulary.candidates import Candidates
from components.expand.vocabulary.sentencepiece import SentencePieceVocabulary
from components.formats.files import write_json
from components.tokenizers.check import check_tokenizer, write_check
from components.tokenizers.check.facts import Check
from components.tokenizers.japanese_scripts import JAPANESE

ROOT = Path(__file__).parents[3]
ADDED = 800


@pytest.fixture(scope="module")
def base(mistral_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    (folder / "tokenizer.model").write_bytes(mistral_tokenizer.read_bytes())
    (folder / "config.json").write_text(json.dumps({
        "model_type": "mistral", "vocab_size": 32_000, "max_position_embeddings": 4096, "hidden_size": 64,
        "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    }))
    return folder


@pytest.fixture(scope="module")
def grown(base: Path, manuals: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mistral's tokenizer with the most frequent pairs of Japanese characters of a real manual, written by `expand`."""
    counts: dict[str, int] = {}
    for page in manuals["ja"]:
        for place in range(len(page) - 1):
            pair = page[place:place + 2]
            if all(JAPANESE.match(character) for character in pair):
                counts[pair] = counts.get(pair, 0) + 1
    folder, vocabulary = tmp_path_factory.mktemp("grown"), SentencePieceVocabulary.of(base)
    characters = sorted({c for pair in counts for c in pair})
    merges = sorted(counts, key=lambda pair: (-counts[pair], pair))
    added = vocabulary.choose(Candidates(characters=tuple(characters), merges=tuple(merges)), ADDED)
    assert len(added) == ADDED
    (folder / "config.json").write_bytes((base / "config.json").read_bytes())
    vocabulary.write(base, folder, added)
    write_json(folder / "expansion.json", {"base_pieces": 32_000})
    return folder


def martlet(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flows", "tokenizer", "check", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def check(after: Path, base: Path | None, manuals: dict[str, list[str]], fuzz: int = 1_000) -> Check:
    return check_tokenizer(after, base=base, domains=manuals, fuzz=fuzz, progress=lambda *_: None)


def test_mistral_has_the_characters_that_its_announcement_counts(base: Path) -> None:
    """58, 76 and 1,456 in Mistral's vocabulary: the "before" row of Swallow's announcement of 2024-03-11."""
    checked = check_tokenizer(base, base=None, domains=None, fuzz=100, progress=lambda *_: None)
    assert checked.characters_after.in_pieces == {"hiragana": 58, "katakana": 76, "kanji": 1456}
    assert checked.reach_all is not None
    assert (checked.reach_all.tested, checked.reach_all.unreachable) == (31_741, 0)
    assert checked.failed == []


def test_an_expansion_of_mistral_passes_with_three_readings_that_agree(
    base: Path, grown: Path, manuals: dict[str, list[str]]
) -> None:
    checked = check(grown, base, manuals)
    assert {verdict.name: verdict.passed for verdict in checked.verdicts} == dict.fromkeys(
        ("round trip", "slow equals fast", "every new piece is reachable", "base ids are unchanged",
         "English and code are unchanged"), True,
    )
    assert checked.auto_tokenizer is not None
    assert checked.auto_tokenizer.texts > 1_500
    japanese, english = checked.domains
    assert (japanese.japanese, english.japanese, english.ratio) == (True, False, 1.0)
    assert japanese.characters > 100_000
    assert japanese.ratio is not None
    assert japanese.ratio < 0.85
    assert checked.head_cost is not None
    assert checked.head_cost > 1


def test_the_rebuilt_base_gives_the_numbers_of_the_real_one(base: Path, grown: Path, manuals: dict[str, list[str]]) -> None:
    given, rebuilt = check(grown, base, manuals, fuzz=0), check(grown, None, manuals, fuzz=0)
    assert (given.base, rebuilt.base) == ("given", "rebuilt")
    assert (rebuilt.domains, rebuilt.characters_before) == (given.domains, given.characters_before)


def test_equal_checks_give_equal_files_without_a_path_in_them(base: Path, grown: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        checked = check_tokenizer(grown, base=base, domains=None, fuzz=100, progress=lambda *_: None)
        write_check(checked, tmp_path / name)
    for name in ("check.json", "check.md", "check.png"):
        content = (tmp_path / "one" / name).read_bytes()
        assert content == (tmp_path / "two" / name).read_bytes()
        assert str(grown.parent).encode() not in content
    assert (tmp_path / "one/check.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_prints_writes_and_ends_with_0_where_all_is_well(base: Path, grown: Path, tmp_path: Path) -> None:
    done = martlet(str(grown), "--base", str(base), "--fuzz", "100", "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 130
    assert done.stdout.splitlines()[-2:] == [
        "5 checks: 5 passed, 0 failed, 0 not applicable.", "Nothing speaks against this vocabulary."
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["check.json", "check.md", "check.png"]
    assert json.loads((tmp_path / "out/check.json").read_text(encoding="utf-8"))["schema_version"] == 1


def test_the_command_ends_with_1_where_a_check_fails(base: Path, grown: Path) -> None:
    done = martlet(str(base), "--base", str(grown), "--fuzz", "0")
    assert done.returncode == 1
    assert "failed: base ids are unchanged" in done.stdout.splitlines()[-1]
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [
    ["/nowhere"], ["{base}", "--base", "/nowhere"], ["{base}", "--text", "news"], ["{base}", "--text", "news=/nowhere"],
    ["{base}", "--fuzz", "0", "--output", "/dev/null/x"],
])
def test_a_mistake_is_one_message_and_exit_code_1(base: Path, arguments: list[str]) -> None:
    done = martlet(*(word.format(base=base) for word in arguments))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_clean_stages_held_out_text_becomes_a_domain_for_each_language(
    base: Path, manuals: dict[str, list[str]], tmp_path: Path
) -> None:
    from components.data.documents import Document, write_documents

    for language, pages in manuals.items():
        write_documents(tmp_path / f"heldout/{language}.jsonl.gz", [
            Document(id=f"{n:016x}", source="manual", language=language, uri=f"page:{n}", text=text)
            for n, text in enumerate(pages[:5])
        ])
    done = martlet(str(base), "--text", f"manual={tmp_path}", "--fuzz", "0")
    assert done.returncode == 0, done.stderr
    assert "manual-en" in done.stdout
    assert "manual-ja" in done.stdout


def test_a_tokenizer_that_transformers_has_in_python_alone_is_measured(tmp_path: Path) -> None:
    from transformers import ByT5Tokenizer

    ByT5Tokenizer().save_pretrained(tmp_path)
    checked = check_tokenizer(tmp_path, base=None, domains=None, fuzz=100, progress=lambda *_: None)
    assert checked.after.family == "transformers ByT5Tokenizer"
    assert checked.domains[0].after.bytes_per_token == 1.0
    assert checked.domains[0].round_trip.exact == checked.domains[0].lines
    assert (checked.reach_all, checked.failed) == (None, [])
    assert any("reachability" in note for note in checked.notes)


def test_a_python_tokenizer_that_cuts_at_white_space_and_lowers_is_not_failed_for_it(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "barn"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "basic", "subword_tokenizer_type": "wordpiece",
        "do_lower_case": True, "model_max_length": 2,
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    texts = {"prose": ["The barn  the BARN"]}
    checked = check_tokenizer(tmp_path, base=None, domains=texts, fuzz=0, progress=lambda *_: None)
    assert checked.after.family == "transformers BertJapaneseTokenizer"
    (trip,) = [domain.round_trip for domain in checked.domains]
    assert (trip.white_space, trip.failures, checked.failed) == (1, 0, [])
