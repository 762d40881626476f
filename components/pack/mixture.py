"""Packs clean text as token shards in an exact mixture: the same bytes at any number of processes."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from components.base.fields import Fields
from components.base.ports import Context, Journal
from components.data.mixture import Mixture, whole_weights
from components.pack.contract import Packer, PackReport

if TYPE_CHECKING:
    from components.data.heldout_tokens import HeldoutText
    from components.data.token_shards import MixtureFacts, PackedSource


class MixtureSource(Fields):
    """A source of the mixture: clean text by pattern (`<language>/<source>`), and its weight in tokens."""

    text: str = Field(min_length=1)
    weight: float = Field(gt=0)


class MixturePacker(Packer):
    """Packs each source of the mixture; the weights count tokens of this tokenizer, in any unit.

    A source may be smaller than its share asks for (it is repeated) or larger (it is not used up).
    """

    kind: Literal["mixture"]
    version: Literal[5]
    sequence_length: int = Field(gt=0)
    seed: int = Field(ge=0)
    mixture: tuple[MixtureSource, ...] = Field(min_length=1)
    heldout_characters: dict[str, Annotated[int, Field(gt=0)]]
    """How much held-out text of each language is packed to measure training on: documents by their id, the last one cut."""

    @field_validator("mixture")
    @classmethod
    def _can_be_exact(cls, mixture: tuple[MixtureSource, ...]) -> tuple[MixtureSource, ...]:
        whole_weights([share.weight for share in mixture])
        patterns = [share.text for share in mixture]
        if len(set(patterns)) != len(patterns):
            raise ValueError(f"a pattern of text occurs twice in {patterns}; add the weights up instead")
        return mixture

    def run(self, context: Context, text: Path, model: Path, output: Path) -> PackReport:
        """Raises `EmptyCorpus` if a source does not fill one sample, or if a language has no held-out text.

        Raises `InputError` if the tokenizer has no EOS, or if a held-out document is among the text; `TokenizerMismatch` if
        the tokenizer's files contradict each other.
        """
        from components.data.documents import heldout_ids, training_files
        from components.data.token_shards import TokenIndex, token_dtype, write_index
        from components.data.token_writer import describe_source, write_source
        from components.formats.digests import digest_file
        from components.pack.tokenise import Tokenisers, packing_tokenizer_fingerprint
        from components.tokenizers.load import tokenizer_file

        fingerprint = packing_tokenizer_fingerprint(model)
        dtype = token_dtype(fingerprint.pieces)
        files = [training_files(text, share.text) for share in self.mixture]
        sources = []
        with Tokenisers(model, context.site.workers, heldout_ids(text)) as tokenisers:
            for number, share in enumerate(self.mixture):
                key = source_key(number, share.text)
                write_source(output, key, dtype, tokenisers.tokenise(files[number]))
                source = describe_source(output, key, share.text, share.weight, self.sequence_length, fingerprint)
                context.journal.progress(number + 1, len(self.mixture), f"{share.text}: {source.tokens:,} tokens")
                sources.append(source)
        write_index(
            output,
            TokenIndex(
                version=5, sequence_length=self.sequence_length, seed=self.seed, dtype=dtype,
                tokenizer=digest_file(tokenizer_file(model)), sources=tuple(sources), tokenizer_fingerprint=fingerprint,
                heldout=tuple(self._write_heldout(text, model, output, dtype)),
                mixture=self._write_order(output, context.journal),
            ),
        )
        return report_of(sources)

    def _write_heldout(self, text: Path, model: Path, output: Path, dtype: str) -> Iterator["HeldoutText"]:
        """Packs the held-out text of each language."""
        from components.pack.tokenise import pack_heldout

        for language, characters in sorted(self.heldout_characters.items()):
            yield pack_heldout(text, model, output, dtype, (language, characters))

    def _write_order(self, output: Path, journal: Journal) -> "MixtureFacts":
        """Writes the order in which the sources take turns, and says how even it is."""
        from components.data.token_shards import write_order

        facts = write_order(output, Mixture.of([share.weight for share in self.mixture]))
        journal.say(
            f"the mixture repeats after {facts.cycle:,} samples; a source is at most {facts.largest_deviation:.3f} samples off "
            f"its weight after any number of samples, and {facts.largest_deviation_in_1000:.3f} over any 1,000 in a row"
        )
        return facts


def report_of(sources: Sequence["PackedSource"]) -> PackReport:
    """What was packed, by source."""
    whole = sum(source.weight for source in sources)
    return PackReport(
        documents={source.text: source.documents for source in sources},
        tokens={source.text: source.tokens for source in sources},
        weights={source.text: source.weight / whole for source in sources},
        windows={source.text: source.windows for source in sources},
    )


def source_key(number: int, pattern: str) -> str:
    """The name of a source's files: its number in the mixture, and its pattern as far as file names allow."""
    return "-".join([str(number), *re.findall(r"[a-z0-9]+", pattern.lower())])
