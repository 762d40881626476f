"""Finds the first quality rule that a Japanese text breaks: the rules of the Swallow Corpus, version 1.

| what is measured                                         | rejected if                                 |
|----------------------------------------------------------|---------------------------------------------|
| letters; Japanese letters                                | < 400; < 400                                |
| share of paragraphs / sentences said before              | > 0.30 / > 0.30                             |
| the same, in characters                                  | > 0.20 / > 0.20                             |
| share of the commonest 2/3/4-gram                        | > 0.20 / 0.18 / 0.16                        |
| share of 5/6/7/8/9/10-grams that occur again             | > 0.15 / 0.14 / 0.13 / 0.12 / 0.11 / 0.10   |
| hiragana among Japanese letters                          | < 0.2                                       |
| katakana among Japanese letters                          | > 0.5                                       |
| Japanese letters among letters                           | < 0.5                                       |
| mean sentence length                                     | < 20 or > 90                                |
| longest sentence                                         | > 200                                       |
| sentences that end in an ellipsis                        | > 0.2                                       |
| letters in NG words per Japanese letter                  | ≥ 0.05                                      |

Source: arXiv 2404.17733 and github.com/swallow-llm/swallow-corpus at 2d03507 (`quality.py`, `ngword.py`); definitions that
the paper leaves open (what a paragraph is, which letters are Japanese) follow that code.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import Field

from components.base.fields import Fields

SENTENCE = re.compile(r"[^。．！？!?]+[。．！？!?]?")
HIRAGANA = re.compile(r"[\u3041-\u3096]")
KATAKANA = re.compile(r"[\u30a1-\u30fa]")
KANJI = re.compile(r"[々〇〻\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002ffff]")
PUNCTUATION = re.compile(r"[、，。．！？]")

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Length = Annotated[int, Field(ge=1, le=20)]


class Rules(Fields):
    """The limits. A minimum rejects what lies below, a maximum what lies above; the share of NG words must lie below."""

    minimum_document_characters: Count
    minimum_japanese_characters: Count
    maximum_duplicate_paragraph_fraction: Fraction
    maximum_duplicate_sentence_fraction: Fraction
    maximum_duplicate_paragraph_character_fraction: Fraction
    maximum_duplicate_sentence_character_fraction: Fraction
    maximum_top_ngram_fraction: dict[Length, Fraction]
    maximum_duplicate_ngram_type_fraction: dict[Length, Fraction]
    minimum_hiragana_fraction: Fraction
    maximum_katakana_fraction: Fraction
    minimum_japanese_fraction: Fraction
    minimum_mean_sentence_length: Annotated[float, Field(ge=0)]
    maximum_mean_sentence_length: Annotated[float, Field(gt=0)]
    maximum_sentence_length: Annotated[int, Field(gt=0)]
    maximum_ellipsis_sentence_fraction: Fraction
    maximum_ng_word_fraction: Fraction


@dataclass(frozen=True)
class Text:
    """A text with what several rules ask of it, counted once."""

    text: str

    @cached_property
    def sentences(self) -> list[str]:
        """Pieces up to a sentence mark or the line's end."""
        return [sentence for line in self.lines for sentence in SENTENCE.findall(line)]

    @cached_property
    def lines(self) -> list[str]:
        """Paragraphs: the lines that hold anything, without the space around them."""
        return [line.strip() for line in self.text.split("\n") if line.strip()]

    @cached_property
    def hiragana(self) -> int:
        """Hiragana letters."""
        return len(HIRAGANA.findall(self.text))

    @cached_property
    def katakana(self) -> int:
        """Katakana letters, without the long vowel mark, which Swallow's code does not count either."""
        return len(KATAKANA.findall(self.text))

    @cached_property
    def japanese(self) -> int:
        """Kana, kanji and Japanese punctuation."""
        return self.hiragana + self.katakana + len(KANJI.findall(self.text)) + len(PUNCTUATION.findall(self.text))


def letters(text: Text) -> int:
    """Characters of any kind."""
    return len(text.text)


def hiragana_fraction(text: Text) -> float:
    """Hiragana among Japanese letters."""
    return share(text.hiragana, text.japanese)


def katakana_fraction(text: Text) -> float:
    """Katakana among Japanese letters."""
    return share(text.katakana, text.japanese)


def japanese_fraction(text: Text) -> float:
    """Japanese letters among all."""
    return share(text.japanese, len(text.text))


def duplicate_fraction(pieces: Sequence[str]) -> float:
    """Pieces that were said before, among all."""
    return share(len(pieces) - len(set(pieces)), len(pieces))


def duplicate_character_fraction(pieces: Sequence[str]) -> float:
    """Characters in pieces that were said before, among all."""
    total = sum(map(len, pieces))
    return share(total - sum(map(len, set(pieces))), total)


def ngrams(text: str, n: int) -> Counter[str]:
    """Every run of n characters, counted."""
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def top_ngram_fraction(text: str, n: int) -> float:
    """The commonest n-gram among all."""
    return share(max(ngrams(text, n).values(), default=0), len(text) - n + 1)


def duplicate_ngram_fraction(text: str, n: int) -> float:
    """Different n-grams that occur more than once, among all different ones."""
    counts = ngrams(text, n)
    return share(sum(1 for count in counts.values() if count > 1), len(counts))


def mean_sentence_length(text: Text) -> float:
    """Characters a sentence."""
    return share(sum(map(len, text.sentences)), len(text.sentences))


def maximum_sentence_length(text: Text) -> int:
    """Characters of the longest sentence."""
    return max(map(len, text.sentences), default=0)


def ellipsis_fraction(text: Text) -> float:
    """Sentences that break off (… or ・), among all."""
    return share(sum(sentence.rstrip().endswith(("…", "・")) for sentence in text.sentences), len(text.sentences))


def ng_word_fraction(text: Text, pattern: re.Pattern[str] | None) -> float:
    """Letters in NG words per Japanese letter."""
    return share(sum(map(len, pattern.findall(text.text))), text.japanese) if pattern else 0.0


def share(part: float, whole: float) -> float:
    """A quotient; 0 if there is nothing to divide by."""
    return part / whole if whole > 0 else 0.0


def ng_pattern(words: Sequence[str]) -> re.Pattern[str] | None:
    """Matches the longest NG word at each place; None if there are no words."""
    return re.compile("|".join(map(re.escape, sorted(set(words), key=lambda w: (-len(w), w))))) if words else None


def broken(text: Text, rules: Rules, ng_words: re.Pattern[str] | None) -> str | None:
    """The first rule that the text breaks, by its name in the parameters; the cheap rules are asked first."""
    return next((name for name, breaks in questions(text, rules, ng_words) if breaks()), None)


def questions(text: Text, r: Rules, ng: re.Pattern[str] | None) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Each rule's name and its question, in order."""
    paragraphs = text.lines
    yield "minimum_document_characters", lambda: letters(text) < r.minimum_document_characters
    yield "minimum_japanese_characters", lambda: text.japanese < r.minimum_japanese_characters
    yield "minimum_hiragana_fraction", lambda: hiragana_fraction(text) < r.minimum_hiragana_fraction
    yield "maximum_katakana_fraction", lambda: katakana_fraction(text) > r.maximum_katakana_fraction
    yield "minimum_japanese_fraction", lambda: japanese_fraction(text) < r.minimum_japanese_fraction
    yield "minimum_mean_sentence_length", lambda: mean_sentence_length(text) < r.minimum_mean_sentence_length
    yield "maximum_mean_sentence_length", lambda: mean_sentence_length(text) > r.maximum_mean_sentence_length
    yield "maximum_sentence_length", lambda: maximum_sentence_length(text) > r.maximum_sentence_length
    yield "maximum_ellipsis_sentence_fraction", lambda: ellipsis_fraction(text) > r.maximum_ellipsis_sentence_fraction
    yield "maximum_ng_word_fraction", lambda: ng is not None and ng_word_fraction(text, ng) >= r.maximum_ng_word_fraction
    yield from repetition(paragraphs, text.sentences, text.text, r)


def repetition(
    paragraphs: list[str], sentences: list[str], text: str, r: Rules
) -> Iterator[tuple[str, Callable[[], bool]]]:
    """The rules against saying the same again."""
    yield (
        "maximum_duplicate_paragraph_fraction",
        lambda: duplicate_fraction(paragraphs) > r.maximum_duplicate_paragraph_fraction,
    )
    yield (
        "maximum_duplicate_sentence_fraction",
        lambda: duplicate_fraction(sentences) > r.maximum_duplicate_sentence_fraction,
    )
    yield (
        "maximum_duplicate_paragraph_character_fraction",
        lambda: duplicate_character_fraction(paragraphs) > r.maximum_duplicate_paragraph_character_fraction,
    )
    yield (
        "maximum_duplicate_sentence_character_fraction",
        lambda: duplicate_character_fraction(sentences) > r.maximum_duplicate_sentence_character_fraction,
    )
    yield (
        "maximum_top_ngram_fraction",
        lambda: any(top_ngram_fraction(text, n) > at for n, at in r.maximum_top_ngram_fraction.items()),
    )
    yield (
        "maximum_duplicate_ngram_type_fraction",
        lambda: any(
            duplicate_ngram_fraction(text, n) > at for n, at in r.maximum_duplicate_ngram_type_fraction.items()
        ),
    )
