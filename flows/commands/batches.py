"""`martlet batch` and `martlet find`: what a step of a run saw, and which steps saw a document.

Nothing is recorded for this: which sample a step takes is calculated (`components.data.batches`), and so is whose tokens a
sample has (`components.data.provenance`). The answers hold for planned steps as well as for steps that were made.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from components.data.batches import BatchPlan, Skipped, batch_at, step_at
from components.data.documents import document_id, heldout_ids
from components.data.provenance import Span, Trace
from components.data.token_shards import TokenShards
from components.errors import InputError, ParameterError
from components.params import Params, load_params
from components.tokenizers.load import load_tokenizer
from components.tokenizers.tokenizer import Tokenizer
from flows.clone import enter_clone
from infra.settings import Settings
from infra.sites import load_site

Stage = Literal["train", "train_base"]
PACKED = {"train": ("pack", "expand"), "train_base": ("pack_base", "collect/model")}
"""Where, below `artifacts/`, each training's tokens are, and the tokenizer that they were packed with."""
TEXT_TOKENS = 32
"""How many tokens of a sample's beginning are shown as text."""


@dataclass(frozen=True)
class Sample:
    """One sample of a step: where it sat, where its tokens are from, and how its text begins."""

    rank: int
    position: int
    sample: int
    source: str
    epoch: int
    window: int
    tokens: int
    spans: list[Span]
    text: str


@dataclass(frozen=True)
class StepBatch:
    """What a step saw."""

    run: str
    stage: Stage
    step: int
    batch: int
    samples: list[Sample]


@dataclass(frozen=True)
class DocumentSighting:
    """A sample with a part of a document: `tokens` of its tokens, from token `first`."""

    step: int
    rank: int
    position: int
    sample: int
    source: str
    epoch: int
    first: int
    tokens: int


@dataclass(frozen=True)
class Findings:
    """Every time that a run's steps see a document, in the order of the steps."""

    run: str
    stage: Stage
    document: str
    tokens: int
    steps: int
    seen: list[DocumentSighting]


@dataclass(frozen=True)
class PackedTraining:
    """One training of a run: its data, its order, and how batches are dealt out on this site."""

    run: str
    stage: Stage
    params: Params
    workspace: Path
    steps: int
    skipped: Skipped
    plan: BatchPlan
    trace: Trace
    tokenizer: Tokenizer

    def batch(self, step: int, rank: int | None) -> StepBatch:
        """What a step sees, on one rank or on all. Raises `ParameterError` if there is no such step or rank."""
        if not 0 <= step < self.steps:
            raise ParameterError(
                f"{self.run} has no step {step:,} of {self.stage}: its {self.steps:,} steps are numbered from 0 "
                f"to {self.steps - 1:,}."
            )
        if rank is not None and not 0 <= rank < self.plan.processes:
            raise ParameterError(f"there is no rank {rank}: this site has {self.plan.processes}, from 0. Set MARTLET_SITE?")
        number = batch_at(step, self.skipped)
        ranks = range(self.plan.processes) if rank is None else [rank]
        samples = [self.sample(sample) for each in ranks for dealt in self.plan.samples(number, each) for sample in dealt]
        return StepBatch(self.run, self.stage, step, number, samples)

    def sample(self, number: int) -> Sample:
        """One sample, looked up."""
        shards, slot = self.trace.shards, self.plan.position_of(number)
        place, tokens = shards.place(number), shards.sample(number)
        return Sample(
            slot.rank, slot.position, number, shards.index.sources[place.source].text, place.epoch, place.window, len(tokens),
            self.trace.spans(number), self.tokenizer.decode(tokens[:TEXT_TOKENS].tolist()),
        )

    def find(self, document: str) -> Findings:
        """Every sighting of a document, by its id or its URI. Raises `InputError` if it was not packed."""
        names = [document, *(document_id(source.name, document) for source in self.params.collect.sources)]
        packed = [(name, each) for name in dict.fromkeys(names) for each in self.trace.find(name)]
        if not packed:
            raise self.unknown(document, names)
        samples = (batch_at(self.steps - 1, self.skipped) + 1) * self.plan.global_batch_size
        seen = []
        for _, each in packed:
            source = self.trace.shards.index.sources[each.source].text
            for sighting in self.trace.sightings(each, samples):
                slot = self.plan.position_of(sighting.sample)
                if (step := step_at(slot.batch, self.skipped)) is not None:
                    seen.append(DocumentSighting(step, slot.rank, slot.position, sighting.sample, source, sighting.epoch,
                                     sighting.first, sighting.tokens))
        seen.sort(key=lambda each: (each.step, each.sample))
        return Findings(self.run, self.stage, packed[0][0], packed[0][1].tokens, self.steps, seen)

    def unknown(self, document: str, names: list[str]) -> InputError:
        """Why a document is not among the packed ones."""
        if set(names) & heldout_ids(self.workspace / "artifacts/clean"):
            return InputError(f"{document} is held out in {self.run}: it is measured on, and no step sees it.")
        sources = self.trace.shards.index.sources
        return InputError(
            f"there is no document {document} among the {sum(source.documents for source in sources):,} that {self.run} packed "
            f"for {self.stage}. Give the id as `martlet batch` prints it, or the whole URI as in artifacts/clean."
        )


def open_training(run: str, stage: Stage) -> PackedTraining:
    """A training of the run that is named. Raises a `MartletError` if there is none, or nothing is packed yet."""
    settings, _ = enter_clone()
    workspace = find_workspace(settings, run)
    params = load_params(workspace / "params.yaml")
    training = params.train if stage == "train" else params.train_base
    if training.kind == "passthrough":
        raise ParameterError(f"{workspace.name} trains nothing in {stage} (kind: passthrough), so no step saw anything.")
    site = load_site(settings.site)
    plan = BatchPlan(training.global_batch_size, site.train_micro_batch_size, site.train_processes)
    plan.check(site.name)
    tokens, model = (workspace / "artifacts" / folder for folder in PACKED[stage])
    if not tokens.exists():
        raise InputError(f"{workspace.name} has packed nothing yet: {tokens} does not exist. Run it at least as far as that.")
    trace = Trace(TokenShards(tokens))
    return PackedTraining(
        workspace.name, stage, params, workspace, training.steps, training.skip_batches, plan, trace, load_tokenizer(model)
    )


def find_workspace(settings: Settings, run: str) -> Path:
    """The workspace of a run by its id, its recipe or the beginning of its id; of several, the newest, as in `status`."""
    folders = [path.parents[1] for path in settings.runs.glob("*/journal/request.json")]
    whole = [path for path in folders if run in (path.name, path.name.rpartition("-")[0])]
    if run and (found := whole or [path for path in folders if path.name.startswith(run)]):
        return max(found, key=lambda path: path.stat().st_mtime)
    there = ", ".join(sorted(path.name for path in folders)) or "none yet; start one with: martlet run smoke"
    raise ParameterError(f"there is no run {run!r}. There are: {there}.")
