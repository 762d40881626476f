"""Hands the base model on unchanged: for a recipe that keeps its vocabulary, as Swallow-MX 8x7b does."""

import shutil
from pathlib import Path
from typing import Literal

from components.base.ports import Context
from components.expand.contract import Expander, ExpandReport
from components.expand.fertility import tokens_per_character
from components.models.folder import INDEX, check_rows, copy_tokenizer, maximum_positions, weight_files
from components.tokenizers.japanese_scripts import count_characters
from components.tokenizers.load import load_tokenizer

CONFIGURATION = ("config.json", "generation_config.json", INDEX)


class PassthroughExpander(Expander):
    """Copies every file as it is; `tokenizer.json` is written only if the base has none."""

    kind: Literal["passthrough"]
    version: Literal[1]

    def run(self, context: Context, model: Path, text: Path, output: Path) -> ExpandReport:
        """As the contract says; the report states that nothing changed."""
        from components.expand.vocabulary.base import vocabulary_of

        tokenizer, shards = load_tokenizer(model), weight_files(model)
        check_rows(model, tokenizer.pieces)
        fertility = tokens_per_character(tokenizer, text)
        characters = count_characters(vocabulary_of(model).characters())
        copy_tokenizer(model, output)
        if not (output / "tokenizer.json").exists():
            from components.tokenizers.conversion import write_fast_tokenizer

            write_fast_tokenizer(output, maximum_positions(model))
        # copies, not links: a link would let a later stage's slip change the base model
        present = [name for name in CONFIGURATION if (model / name).exists()]
        for number, name in enumerate([*present, *shards], 1):
            shutil.copyfile(model / name, output / name)
            context.journal.progress(number, len(present) + len(shards), f"files copied, the last {name}")
        context.journal.say("the vocabulary and every weight are the base model's (kind: passthrough)")
        return ExpandReport(
            base_pieces=tokenizer.pieces, added_pieces=0, pieces=tokenizer.pieces,
            characters_before=characters, characters_after=characters,
            tokens_per_character_before=fertility, tokens_per_character_after=fertility,
        )
