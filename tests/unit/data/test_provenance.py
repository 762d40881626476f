"""From a sample to its documents and back: exact both ways, without a look at other samples."""

import json
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.data.batches import BatchPlan, SamplePosition, batch_at, step_at
from components.data.provenance import Packed, Sighting, Span, Trace
from components.data.token_shards import TokenShards
from components.data.token_writer import write_source
from components.errors import InputError
from tests.support.builders.shards import LENGTH, write_shards

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=12).filter(lambda lengths: sum(lengths) > LENGTH)
SOURCES = st.dictionaries(st.sampled_from(["ja", "en", "code"]), LENGTHS, min_size=1)


def traced(folder: str, sources: dict[str, list[int]], weights: list[int]) -> Trace:
    return Trace(write_shards(Path(folder), sources, [weights[n] / 10 for n in range(len(sources))]))


@given(sources=SOURCES, weights=st.lists(st.integers(1, 9), min_size=3, max_size=3), samples=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_spans_are_the_samples_tokens_and_lead_back_to_it(
    sources: dict[str, list[int]], weights: list[int], samples: int
) -> None:
    with TemporaryDirectory() as folder:
        trace = traced(folder, sources, weights)
        seen: dict[str, list[Sighting]] = {}
        for number in range(samples):
            place, spans = trace.shards.place(number), trace.spans(number)
            key = trace.shards.index.sources[place.source].key
            edges = np.cumsum([0, *sources[key]]).tolist()
            tokens = [
                edges[int(span.document.removeprefix(f"{key}-"))] + span.first + turn
                for span in spans for turn in range(span.tokens)
            ]
            assert tokens == trace.shards.sample(number).tolist()
            assert all(span.tokens > 0 for span in spans)
            inner = np.cumsum([span.tokens for span in spans])[:-1].tolist()
            assert trace.shards.borders(number).tolist() == inner
            for span in spans:
                seen.setdefault(span.document, []).append(Sighting(number, place.epoch, span.first, span.tokens))
        for key, lengths in sources.items():
            for number, length in enumerate(lengths):
                [packed] = trace.find(f"{key}-{number}")
                assert packed == Packed(list(sources).index(key), number, length)
                assert list(trace.sightings(packed, samples)) == seen.get(f"{key}-{number}", [])


def test_a_sample_knows_its_documents_and_which_of_their_tokens(tmp_path: Path) -> None:
    trace = Trace(write_shards(tmp_path, {"ja": [5, 7, 60]}, [1.0]))
    by_window = {trace.shards.place(number).window: trace.spans(number) for number in range(8)}
    assert by_window[0] == [Span("ja-0", 0, 5), Span("ja-1", 0, 4)]  # tokens 0–8
    assert by_window[1] == [Span("ja-1", 3, 4), Span("ja-2", 0, 5)]  # tokens 8–16
    assert by_window[2] == [Span("ja-2", 4, 9)]


def test_a_document_behind_the_last_whole_window_is_seen_by_no_sample(tmp_path: Path) -> None:
    trace = Trace(write_shards(tmp_path, {"ja": [20, 3]}, [1.0]))  # two windows end with token 16
    assert trace.shards.index.sources[0].windows == 2
    assert list(trace.sightings(trace.find("ja-1")[0], 1000)) == []
    assert {s.epoch for s in trace.sightings(trace.find("ja-0")[0], 8)} == {0, 1, 2, 3}


def test_ids_are_found_whole_whatever_they_are_made_of(tmp_path: Path) -> None:
    names = ["7", "17", '"7"', "a\nb", "燕", "7"]
    shards = write_shards(tmp_path, {"ja": [9] * len(names)}, [1.0])
    parts = [(name, np.arange(a, b)) for name, (a, b) in zip(names, pairwise(range(0, 63, 9)), strict=False)]
    write_source(tmp_path, "ja", "<u2", parts)
    trace = Trace(TokenShards(tmp_path))
    assert [[packed.number for packed in trace.find(name)] for name in names[:5]] == [[0, 5], [1], [2], [3], [4]]
    assert trace.find("") == trace.find("swallow") == []
    assert {span.document for n in range(shards.index.sources[0].windows) for span in trace.spans(n)} == set(names)


@pytest.mark.parametrize("name", ["ja.offsets.npy", "ja.lines.npy", "ja.documents.jsonl"])
def test_a_missing_or_short_file_is_named(name: str, tmp_path: Path) -> None:
    write_shards(tmp_path, {"ja": [20, 30]}, [1.0])
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=name):
        Trace(TokenShards(tmp_path))
    (tmp_path / name).write_bytes(whole[:-1])
    with pytest.raises(InputError, match=name):
        Trace(TokenShards(tmp_path))


def test_an_array_of_another_number_of_documents_is_refused_with_both(tmp_path: Path) -> None:
    write_shards(tmp_path, {"ja": [20, 30]}, [1.0])
    np.save(tmp_path / "ja.offsets.npy", np.asarray([0, 50]))
    with pytest.raises(InputError, match=r"shape \(2,\), but 2 documents were packed: \(3,\) was expected"):
        TokenShards(tmp_path)


def test_the_ids_lie_as_lines_of_json(tmp_path: Path) -> None:
    write_shards(tmp_path, {"ja": [20, 30]}, [1.0])
    assert [json.loads(line) for line in (tmp_path / "ja.documents.jsonl").read_text().splitlines()] == ["ja-0", "ja-1"]
    assert np.load(tmp_path / "ja.lines.npy").tolist() == [0, 7, 14]


@given(
    micro=st.integers(1, 4), processes=st.integers(1, 5), accumulation=st.integers(1, 4), batch=st.integers(0, 10**9)
)
def test_every_seat_of_a_batch_leads_back_from_its_sample(micro: int, processes: int, accumulation: int, batch: int) -> None:
    plan = BatchPlan(micro * processes * accumulation, micro, processes)
    for rank in range(processes):
        samples = [sample for dealt in plan.samples(batch, rank) for sample in dealt]
        expected = [SamplePosition(batch, rank, place) for place in range(len(samples))]
        assert [plan.position_of(sample) for sample in samples] == expected


@given(gaps=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=5))
def test_steps_take_the_batches_that_are_not_skipped_in_order(gaps: list[tuple[int, int]]) -> None:
    skipped, edge = [], -1
    for apart, length in gaps:
        skipped.append((edge + apart + 1, edge + apart + length))
        edge = skipped[-1][1]
    out = {batch for first, last in skipped for batch in range(first, last + 1)}
    batches = [batch for batch in range(80) if batch not in out]
    assert [batch_at(step, skipped) for step in range(len(batches))] == batches
    assert [step_at(batch, skipped) for batch in range(80)] == [
        None if batch in out else batches.index(batch) for batch in range(80)
    ]
