"""Runs a tiny training in a folder: the real trainer and DeepSpeed on a few sentences."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from components.base.ports import Context
from components.data.documents import Document, write_documents
from components.pack.mixture import MixturePacker
from components.train.contract import TrainReport
from components.train.deepspeed import DeepSpeedTrainer
from tests.support.builders.texts import ENGLISH, JAPANESE, prose
from tests.support.builders.vocabularies import tiny_proto, write_tokenizer
from tests.support.fakes import SITE, make_context
from tests.support.ranks.forked_ranks import ForkedRanks

SEQUENCE_LENGTH = 32
ARCHITECTURE = {
    "hidden_size": 32, "intermediate_size": 64, "layers": 2, "heads": 4, "key_value_heads": 2, "rope_theta": 10000.0,
    "sliding_window": 64, "tie_word_embeddings": False, "experts": None, "experts_per_token": None,
}
FIELDS: dict[str, Any] = {
    "kind": "deepspeed", "version": 4, "architecture": ARCHITECTURE, "maximum_positions": 64,
    "attention": "across_documents", "loss_after_eos": True, "z_loss": None,
    "sequence_length": SEQUENCE_LENGTH, "global_batch_size": 4, "steps": 16, "skip_batches": [], "learning_rate": 1e-2,
    "minimum_learning_rate": 1e-3, "warmup_steps": 2, "schedule": {"kind": "cosine"},
    "adam_betas": [0.9, 0.95], "adam_epsilon": 1e-8, "weight_decay": 0.1, "decay": "matrices",
    "gradient_clipping": 1.0, "precision": "bf16", "zero_stage": 2,
    "activation_checkpointing": False, "router_auxiliary_loss": None, "checkpoint_every_steps": 4,
    "keep_checkpoints": {"last": 2, "every_steps": None, "best": False}, "seed": 1234,
}  # fmt: skip


def trainer(**changes: Any) -> DeepSpeedTrainer:
    """The tiny trainer, with these fields changed."""
    return DeepSpeedTrainer(**(FIELDS | changes))


def write_text_and_model(folder: Path) -> None:
    """Writes `text/` (clean documents in two languages) and `model/` (a tokenizer)."""
    for language, pool, count in (("ja", JAPANESE, 24), ("en", ENGLISH, 8)):
        documents = [
            Document(id=f"{language}{seed:02d}", source="prose", language=language, uri="", text=prose(pool, seed, count))
            for seed in range(12)
        ]
        write_documents(folder / "text/train" / language / "prose.jsonl.gz", documents)
        heldout = [
            Document(id=f"{language}{seed:02d}", source="prose", language=language, uri="", text=prose(pool, seed, count))
            for seed in range(12, 15)
        ]
        write_documents(folder / "text/heldout" / f"{language}.jsonl.gz", heldout)
    write_tokenizer(folder / "model", tiny_proto())


def packer(**changes: Any) -> MixturePacker:
    """A packer of nine parts of Japanese and one of English."""
    fields: dict[str, Any] = {
        "kind": "mixture", "version": 5, "sequence_length": SEQUENCE_LENGTH, "seed": 7,
        "mixture": [{"text": "ja/*", "weight": 0.9}, {"text": "en/*", "weight": 0.1}],
        "heldout_characters": {"ja": 200, "en": 300},
    }  # fmt: skip
    return MixturePacker(**(fields | changes))


def prepare(folder: Path, **packing: Any) -> Path:
    """Writes `model/` and `tokens/` for training; returns the folder. `packing` changes the packer's fields."""
    write_text_and_model(folder)
    context = make_context(folder, site=replace(SITE, workers=1))
    packer(**packing).run(context, text=folder / "text", model=folder / "model", output=folder / "tokens")
    return folder


def context_of(run: Path, processes: int, micro_batch_size: int) -> Context:
    """A context for a run's folder, whose launcher forks the ranks of the real trainer."""
    site = replace(SITE, train_processes=processes, train_micro_batch_size=micro_batch_size)
    return make_context(run, site=site, launcher=ForkedRanks(run / "logs"))


def attempt(
    inputs: Path, run: Path, component: DeepSpeedTrainer, *, processes: int = 2, micro_batch_size: int = 2
) -> TrainReport:
    """One attempt at the run, into `run/output`."""
    context = context_of(run, processes, micro_batch_size)
    return component.run(context, model=inputs / "model", tokens=inputs / "tokens", output=run / "output")
