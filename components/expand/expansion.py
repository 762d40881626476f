"""Enlarges a base model's vocabulary, whatever the family of its tokenizer, and states in `expansion.json` what was done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sentencepiece

from components.base.ports import Journal
from components.errors import EmptyCorpus, InputError, ParameterError
from components.expand.contract import ExpandReport
from components.expand.embeddings.weights import Rows, check_matrices, enlarge
from components.expand.fertility import tokens_per_character
from components.expand.growth import Growth
from components.expand.vocabulary.base import Vocabulary
from components.expand.vocabulary.candidates import find_candidates
from components.expand.vocabulary.corpus import runs_of, training_texts
from components.formats.files import write_json
from components.models.folder import check_rows
from components.tokenizers.check.run import check_tokenizer, write_check
from components.tokenizers.check.texts import read_domains, sample_domains
from components.tokenizers.japanese_scripts import count_characters
from components.tokenizers.load import load_tokenizer

CHECKED_CHARACTERS, FUZZED = 300_000, 2_000
"""Characters of each language's held-out text, and random strings: some seconds. `martlet tokenizer check` takes any number."""


@dataclass(frozen=True)
class Expansion:
    """One enlargement: what is wanted, and of which vocabulary."""

    growth: Growth
    vocabulary: Vocabulary
    journal: Journal

    def run(self, model: Path, text: Path, output: Path) -> ExpandReport:
        """Writes the enlarged model folder; every refusal that needs no training comes before the training."""
        growth, vocabulary = self.growth, self.vocabulary
        room = self._room(model)
        check_matrices(model, vocabulary.pieces, growth.base_padding_rows)
        texts = training_texts(text, growth.text, growth.maximum_characters, growth.seed)
        added = self._new_pieces(texts, room)
        subpieces = vocabulary.subpieces(added)
        self.journal.say(
            f"starting {room:,} rows as {growth.initialise.kind}; they split into {sum(map(len, subpieces)):,} base pieces"
        )
        rows = Rows(vocabulary.pieces, subpieces, growth.padding_rows, growth.initialise, growth.seed)
        enlarge(model, output, rows)
        vocabulary.write(model, output, added)
        check_rows(output, growth.pieces)
        before, after = (tokens_per_character(load_tokenizer(folder), text) for folder in (model, output))
        report = ExpandReport(
            base_pieces=vocabulary.pieces, added_pieces=room, pieces=growth.pieces, characters_before=self._characters([]),
            characters_after=self._characters(added), tokens_per_character_before=before, tokens_per_character_after=after,
        )
        self._write_expansion(output, report, texts, added)
        self._prove(model, text, output)
        return report

    def _room(self, model: Path) -> int:
        """How many pieces to add. Raises `ParameterError` if there is nothing to add."""
        present, wanted = self.vocabulary.pieces, self.growth.pieces
        if wanted <= present:
            raise ParameterError(
                f"expand.pieces is {wanted:,}, but the tokenizer of {model} has {present:,} pieces already. "
                f"Raise expand.pieces above that, or take `kind: passthrough`."
            )
        return wanted - present

    def _new_pieces(self, texts: Mapping[str, Sequence[str]], room: int) -> list[str]:
        """Exactly `room` new pieces. Raises `EmptyCorpus` if the text does not give so many."""
        growth, patterns = self.growth, ", ".join(texts)
        sampled = [text for part in texts.values() for text in part]
        characters = sum(map(len, sampled))
        if not any(runs_of(sampled)):
            raise EmptyCorpus(f"The documents of {patterns} hold no text but ASCII. Name Japanese text in expand.text.")
        self.journal.say(f"training {growth.trained_pieces:,} pieces on {characters:,} characters")
        candidates = find_candidates(growth, sampled, self.vocabulary.characters())
        added = self.vocabulary.choose(candidates, room)
        if len(added) < room:
            raise EmptyCorpus(
                f"{characters:,} characters of {patterns} gave {len(candidates.characters) + len(candidates.merges):,} "
                f"candidates, {len(added):,} of them new to the base model; {room:,} are needed for expand.pieces = "
                f"{growth.pieces:,}. Raise expand.trained_pieces (now {growth.trained_pieces:,}) or add text."
            )
        self._check_targets(added)
        return added

    def _check_targets(self, added: Sequence[str]) -> None:
        """Raises `ParameterError` if the characters that were asked for did not fit."""
        found = self._characters(added)
        for name, target in self.growth.characters.model_dump().items():
            if target is not None and found[name] != target:
                raise ParameterError(
                    f"expand.characters.{name} asks for {target:,}, but {len(added):,} new pieces bring it to "
                    f"{found[name]:,} only. Raise expand.pieces (now {self.growth.pieces:,}), or lower the target."
                )

    def _characters(self, added: Sequence[str]) -> dict[str, int]:
        """Different characters by script, in the base's pieces and these."""
        new = {character for piece in added for character in self.vocabulary.text_of(piece) or ""}
        return count_characters(self.vocabulary.characters() | new)

    def _prove(self, model: Path, text: Path, output: Path) -> None:
        """`check.json`, `check.md` and `check.png`: what was promised, measured on the folder as it was written.

        Raises `InputError` if a promise is broken, which can come from the base's own peculiarities.
        """
        domains, _ = read_domains({"heldout": text}, CHECKED_CHARACTERS)
        domains["code"] = sample_domains()["code"]
        check = check_tokenizer(output, base=model, domains=domains, fuzz=FUZZED, progress=self.journal.progress)
        write_check(check, output)
        if broken := [f"{verdict.name}: {verdict.words}" for verdict in check.verdicts if verdict.passed is False]:
            raise InputError(
                f"The enlarged tokenizer of {model} does not keep what is promised of it: {'; '.join(broken)}. Look at the "
                "base with `martlet tokenizer check`, and name another base model."
            )

    def _write_expansion(
        self, output: Path, report: ExpandReport, texts: Mapping[str, Sequence[str]], added: Sequence[str]
    ) -> None:
        """`expansion.json`: the report, what it was made with and from, and the added pieces in the order of their ids."""
        write_json(output / "expansion.json", report.model_dump() | {
            "trainer": {"sentencepiece": sentencepiece.__version__, "segmentation": self.growth.segmentation},
            "trained_characters": {pattern: sum(map(len, part)) for pattern, part in texts.items()},
            "initialise": self.growth.initialise.model_dump(),
            "padding_rows": self.growth.padding_rows,
            **self.vocabulary.facts(added),
            "added": list(added),
        })
