"""How fast `pack` packs, how fast samples are read, and how even the mixture is: against datatrove, numpy and Tijdeman's order.

`make bench-pack` prints one JSON line for each figure; the exit code is 1 if a goal is missed, or if the peer cannot be
installed. pip installs datatrove and its missing dependencies into `.build/peers`. Both sides have one process and one thread,
read the same `jsonl.gz` files with the same tokenizer (Mistral-7B-v0.1's), and must write the same bytes. Packing is measured
in seconds of CPU time, which on one thread equal the seconds on an idle machine. The text is that of `benchmarks.texts`,
repeated up to 30 million characters: so work that is done once (half a second, to read the tokenizer and take its fingerprint)
counts little, as with a real corpus.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from benchmarks.texts import Texts, english, japanese, write_clean
from benchmarks.timing import seconds
from benchmarks.tokenizer import mistral_tokenizer, repeated
from components.base.ports import Context
from components.data.mixture import Mixture, tijdeman, whole_weights
from components.data.mixture_search import WINDOW, largest_deviation
from components.data.token_shards import TokenShards
from components.pack.mixture import MixturePacker
from components.recipes import read_parameters
from components.tokenizers.conversion import write_fast_tokenizer
from infra.sites import load_site
from tests.support.fakes import make_context

PEERS = Path(".build/peers/datatrove")
PEER = ("datatrove==0.10.1", "loguru==0.7.3", "fasteners==0.20")
ROUNDS = 5
CHARACTERS = 30_000_000
SEQUENCE_LENGTH = 4_096
READS = 20_000
PACK_GOAL, READ_GOAL, MIXTURE_GOAL = 3.0, 0.5, 1.0


def figures() -> Iterator[dict[str, object]]:
    """The figures of packing, reading and the mixtures."""
    fetch_peer()
    ja, en = japanese(), english()
    ja = Texts(ja.language, ja.source, repeated(ja.train, CHARACTERS), ja.heldout)
    with tempfile.TemporaryDirectory(dir=".build") as folder:
        text, model = write_clean(Path(folder) / "clean", ja, en), mistral_tokenizer()
        yield pack_figure(Path(folder), text, model, ja)
        yield read_figure(Path(folder), text, model)
    yield from map(mixture_figure, ("swallow-ms-7b", "swallow-mx-8x7b"))


def fetch_peer() -> None:
    """Installs the peer into `.build`, once; ends the program if that fails."""
    if (PEERS / "complete").exists():
        return
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(PEERS), *PEER],
        capture_output=True, text=True, check=False,
    )
    if done.returncode:
        sys.exit(f"error: nothing was measured: the peer cannot be installed. pip install {' '.join(PEER)}:\n{done.stderr}")
    (PEERS / "complete").touch()


def packer(*shares: tuple[str, float]) -> MixturePacker:
    """A packer of samples as long as Swallow's."""
    mixture = [{"text": text, "weight": weight} for text, weight in shares]
    return MixturePacker.model_validate(
        {"kind": "mixture", "version": 5, "sequence_length": SEQUENCE_LENGTH, "seed": 1, "mixture": mixture,
         "heldout_characters": {}}
    )


def context(folder: Path) -> Context:
    """A context with one process and no services."""
    return make_context(folder, site=replace(load_site("local"), workers=1))


def pack_figure(folder: Path, text: Path, model: Path, documents: Texts) -> dict[str, object]:
    """Characters per CPU second from clean text to token shards, all work included, against datatrove's DocumentTokenizer."""
    tokenizer = peer_tokenizer(folder / "fast", model)
    pairs = []
    for turn in range(ROUNDS):
        ours, theirs = folder / f"ours-{turn}", folder / f"theirs-{turn}"
        clock = time.process_time()
        packer(("ja/*", 1.0)).run(context(folder), text=text, model=model, output=ours)
        pairs.append((time.process_time() - clock, peer_seconds(text / "train/ja", tokenizer, theirs)))
        [packed] = theirs.glob("*.ds")
        assert packed.read_bytes() == (ours / "0-ja.bin").read_bytes(), "the two packed different tokens"
    characters = documents.characters
    mine, peer = (characters / statistics.median(column) / 1e6 for column in zip(*pairs, strict=True))
    ratio = statistics.median(theirs / ours for ours, theirs in pairs)
    return {
        "bench": "pack", "ours": round(mine, 3), "peer": round(peer, 3), "peer_name": "datatrove 0.10.1 DocumentTokenizer",
        "unit": "million characters a CPU second", "ratio": round(ratio, 2), "goal": f">= {PACK_GOAL}",
        "pass": ratio >= PACK_GOAL, "text": documents.source, "characters": characters,
    }


def peer_tokenizer(folder: Path, model: Path) -> Path:
    """Mistral's `tokenizer.json`, made to put special tokens around a document as ours does."""
    folder.mkdir()
    (folder / "tokenizer.model").write_bytes((model / "tokenizer.model").read_bytes())
    write_fast_tokenizer(folder, SEQUENCE_LENGTH)
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ends = [(piece, backend.token_to_id(piece)) for piece in ("<s>", "</s>")]
    backend.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    backend.no_truncation()
    backend.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def peer_seconds(text: Path, tokenizer: Path, output: Path) -> float:
    """The CPU seconds of datatrove in a process of its own, its imports not included."""
    environment = {**os.environ, "PYTHONPATH": str(PEERS), "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "benchmarks.pack_peer", str(text), str(tokenizer), str(output)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: the peer failed, so nothing was measured:\n{done.stderr}")
    return float(done.stdout.splitlines()[-1])


def read_figure(folder: Path, text: Path, model: Path) -> dict[str, object]:
    """Samples per second in random order, against slices of a numpy memory map at the same places."""
    packer(("ja/*", 0.9), ("en/*", 0.1)).run(context(folder), text=text, model=model, output=folder / "mixed")
    shards = TokenShards(folder / "mixed")
    numbers = np.random.default_rng(1).integers(0, 10 * sum(s.windows for s in shards.index.sources), READS).tolist()
    maps = [np.memmap(folder / "mixed" / f"{s.key}.bin", dtype=shards.index.dtype, mode="r") for s in shards.index.sources]
    places = [(place.source, place.window * SEQUENCE_LENGTH) for place in map(shards.place, numbers)]

    def ours() -> None:
        for number in numbers:
            shards.sample(number)

    def theirs() -> None:
        for source, start in places:
            maps[source][start : start + SEQUENCE_LENGTH + 1].astype(np.int64)

    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    mine, peer = (READS / statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(raw / own for own, raw in pairs)
    return {
        "bench": "pack-read", "ours": round(mine), "peer": round(peer), "peer_name": "numpy.memmap slices", "unit": "samples/s",
        "ratio": round(ratio, 3), "goal": f">= {READ_GOAL}", "pass": ratio >= READ_GOAL, "sequence_length": SEQUENCE_LENGTH,
    }


def mixture_figure(recipe: str) -> dict[str, object]:
    """How many samples a source is off its weight at most, over any 1,000 samples, against Tijdeman's order."""
    values = read_parameters(Path(f"recipes/{recipe}.yaml")).values
    weights = [share["weight"] for share in values["pack"]["mixture"]]
    clock = time.perf_counter()
    order = Mixture.of(weights).order
    took = time.perf_counter() - clock
    mine, peer = largest_deviation(order, WINDOW), largest_deviation(tijdeman(whole_weights(weights)), WINDOW)
    return {
        "bench": f"pack-mixture-{recipe}", "ours": round(mine, 4), "peer": round(peer, 4), "peer_name": "Tijdeman's order",
        "unit": "samples off over any 1,000", "goal": f"<= {MIXTURE_GOAL}", "pass": mine <= MIXTURE_GOAL,
        "off_after_any_number": round(largest_deviation(order), 4), "cycle": len(order), "seconds": round(took, 1),
    }
