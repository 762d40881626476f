"""Token shards: samples are a pure function of seed and number, in an exact mixture, every window once a pass."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.data.mixture import Mixture, whole_weights
from components.data.mixture_search import largest_deviation
from components.data.token_shards import (
    PackedSource,
    TokenIndex,
    TokenShards,
    check_special_tokens,
    token_dtype,
    window_order,
    write_nothing,
    write_order,
)
from components.data.token_writer import describe_source, write_source
from components.errors import EmptyCorpus, InputError, TokenizerMismatch
from components.tokenizers.fingerprint import TokenizerFingerprint
from tests.support.builders.shards import FINGERPRINT, LENGTH, quick_mixture, write_shards

WEIGHTS = st.lists(st.integers(1, 400).map(lambda n: n / 100), min_size=1, max_size=7)


@given(weights=WEIGHTS)
def test_after_any_number_of_samples_every_source_is_within_one_sample_of_its_share(weights: list[float]) -> None:
    mixture = quick_mixture(weights)
    order, counts = np.asarray(mixture.order), np.arange(1, len(mixture.order) + 1)
    for source, weight in enumerate(weights):
        off = np.cumsum(order == source) - counts * weight / sum(weights)
        assert np.abs(off).max() < 1 + 1e-9


@given(
    weights=st.lists(st.integers(1, 90).map(float), min_size=2, max_size=5),
    start=st.integers(0, 10**9),
    length=st.integers(1, 300),
)
def test_any_window_is_within_two_samples_and_within_one_where_there_are_two_sources(
    weights: list[float], start: int, length: int
) -> None:
    mixture = quick_mixture(weights)
    counts = Counter(mixture.source_of(number)[0] for number in range(start, start + length))
    limit = 1.0 if len(weights) == 2 else 2.0
    for source, weight in enumerate(weights):
        assert abs(counts[source] - length * weight / sum(weights)) <= limit + 1e-9


@given(weights=WEIGHTS, start=st.integers(0, 10**12))
def test_a_sources_samples_are_numbered_without_gap_or_repetition(weights: list[float], start: int) -> None:
    mixture = quick_mixture(weights)
    numbers: dict[int, list[int]] = {}
    for sample in range(start, start + 200):
        source, earlier = mixture.source_of(sample)
        numbers.setdefault(source, []).append(earlier)
    for turns in numbers.values():
        assert turns == list(range(turns[0], turns[0] + len(turns)))


@pytest.mark.parametrize("weights", [[62.0, 47.0, 73.0], [11.0, 3.0, 58.0, 2.0], [83, 22, 22, 65, 30, 2, 99, 26, 70]])
def test_where_tijdemans_order_is_further_off_over_1000_samples_one_is_found_that_is_not(weights: list[float]) -> None:
    """Counted here sample by sample, over two cycles: windows across the seam are among them."""
    mixture, shares = Mixture.of(weights), np.asarray(weights) / sum(weights)
    assert largest_deviation(quick_mixture(weights).order, 1000) > 1
    cycle = len(mixture.order)
    samples = np.asarray([mixture.source_of(number)[0] for number in range(2 * cycle)])
    for source, share in enumerate(shares):
        counts = np.concatenate([[0], np.cumsum(samples == source)])
        assert np.abs(counts - np.arange(2 * cycle + 1) * share).max() < 1
        assert np.abs(counts[1000:] - counts[:-1000] - 1000 * share).max() <= 1 + 1e-9
        assert counts[cycle] == round(cycle * share)


def test_where_tijdemans_order_will_do_it_is_taken() -> None:
    for weights in ([0.9, 0.1], [1.0], [0.5, 0.3, 0.2]):
        assert Mixture.of(weights).order == quick_mixture(weights).order


def test_an_order_of_other_sources_or_another_length_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, {"ja": [50], "en": [50]}, [0.9, 0.1])
    for order in ([0] * 10, [0, 1]):
        np.save(tmp_path / "order.npy", np.asarray(order, dtype="<u2"))
        with pytest.raises(InputError, match=r"order\.npy has .* expected 10 of 2"):
            TokenShards(tmp_path)
    (tmp_path / "order.npy").unlink()
    with pytest.raises(InputError, match=r"order\.npy cannot be read"):
        TokenShards(tmp_path)


def test_a_decimal_weight_counts_as_it_is_written() -> None:
    assert whole_weights([0.9, 0.1]) == [9, 1]
    assert whole_weights([78.67, 1.488, 4.453, 4.453, 10.93]) == [78670, 1488, 4453, 4453, 10930]


def test_weights_that_hardly_ever_repeat_are_refused() -> None:
    with pytest.raises(ValueError, match="repeat only after"):
        whole_weights([1 / 3, 0.123456789])


def test_each_pass_takes_every_window_once_and_in_a_new_order(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, {"ja": [30, 40, 60]}, [1.0])
    windows = shards.index.sources[0].windows
    passes = [[shards.place(number).window for number in range(n * windows, (n + 1) * windows)] for n in range(3)]
    assert windows == (130 - 1) // LENGTH
    assert all(sorted(order) == list(range(windows)) for order in passes)
    assert passes[0] != passes[1] != passes[2]


def test_over_one_pass_every_token_but_the_first_is_a_target_exactly_once(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, {"ja": [30, 40, 60]}, [1.0])
    samples = [shards.sample(number) for number in range(shards.index.sources[0].windows)]
    assert {len(sample) for sample in samples} == {LENGTH + 1}
    targets = sorted(int(token) for sample in samples for token in sample[1:])
    assert targets == list(range(1, shards.index.sources[0].windows * LENGTH + 1))


def test_samples_are_a_pure_function_of_seed_and_number(tmp_path: Path) -> None:
    lengths, weights = {"ja": [50, 70], "en": [90]}, [0.7, 0.3]
    one, same = (write_shards(tmp_path / name, lengths, weights) for name in ("one", "same"))
    other = write_shards(tmp_path / "other", lengths, weights, seed=6)
    forward = [one.sample(number).tolist() for number in range(40)]
    window_order.cache_clear()
    assert [same.sample(number).tolist() for number in reversed(range(40))] == forward[::-1]
    assert [other.sample(number).tolist() for number in range(40)] != forward


def test_the_mixture_is_exact_over_a_period(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, {"ja": [200], "en": [90]}, [0.7, 0.3])
    assert Counter(shards.place(number).source for number in range(1000)) == {0: 700, 1: 300}


def test_a_pass_has_the_same_order_under_every_version_of_numpy() -> None:
    """NumPy promises its generators' streams for one version only. Where this fails, packed data would be read anew."""
    assert window_order(1234, 0, 0, 10).tolist() == [8, 9, 5, 0, 2, 6, 4, 7, 1, 3]
    assert window_order(1234, 1, 2, 10).tolist() == [9, 7, 5, 6, 8, 2, 4, 1, 0, 3]


@given(weights=WEIGHTS, sample=st.integers(0, 10**12))
def test_a_sources_turn_leads_back_to_its_sample(weights: list[float], sample: int) -> None:
    mixture = quick_mixture(weights)
    assert mixture.sample_of(*mixture.source_of(sample)) == sample


def test_a_source_that_does_not_fill_a_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyCorpus, match=r"8 tokens in 1 documents, but one sample takes 9"):
        write_shards(tmp_path, {"ja": [8]}, [1.0])


def test_a_truncated_shard_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    write_shards(tmp_path, {"ja": [50]}, [1.0])
    shard = tmp_path / "ja.bin"
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(InputError, match=r"98 bytes, but 50 tokens of 2 bytes were packed \(100\)"):
        TokenShards(tmp_path)


def test_an_unpacked_folder_says_so(tmp_path: Path) -> None:
    write_nothing(tmp_path)
    with pytest.raises(InputError, match="nothing was packed"):
        TokenShards(tmp_path)
    with pytest.raises(InputError, match=r"index\.json is missing"):
        TokenShards(tmp_path / "elsewhere")


@pytest.mark.parametrize(("vocabulary", "dtype"), [(32_000, "<u2"), (65_535, "<u2"), (65_536, "<u4"), (128_256, "<u4")])
def test_tokens_take_two_bytes_while_they_fit(vocabulary: int, dtype: str) -> None:
    assert token_dtype(vocabulary) == dtype


def write_documents(folder: Path, *documents: list[int], fingerprint: TokenizerFingerprint = FINGERPRINT) -> PackedSource:
    """These documents as one source."""
    parts = [(f"{number}", np.asarray(tokens, dtype=np.int64)) for number, tokens in enumerate(documents)]
    write_source(folder, "ja", token_dtype(fingerprint.pieces), parts)
    return describe_source(folder, "ja", "ja/*", 1.0, LENGTH, fingerprint)


def test_frames_and_the_largest_id_are_counted_in_what_was_written(tmp_path: Path) -> None:
    source = write_documents(tmp_path, [1, 5, 6, 2], [5, 1, 59_999, 2], [1, 2], [1, 7])
    assert (source.bos_fraction, source.eos_fraction, source.largest_id) == (0.75, 0.75, 59_999)


def test_where_there_is_no_bos_no_share_of_it_is_stated(tmp_path: Path) -> None:
    without_bos = FINGERPRINT.model_copy(update={"bos": None})
    source = write_documents(tmp_path, [5, 6, 7, 8, 2], [1, 5, 6, 2], fingerprint=without_bos)
    assert (source.bos_fraction, source.eos_fraction) == (None, 1.0)


@pytest.mark.parametrize(("documents", "words"), [
    (([1, 5, 5, 5, 2], [5, 5, 5, 5, 2]), r"50\.00% of the 2 documents of 'ja/\*' start with BOS, expected all"),
    (([1, 5, 5, 5, 2], [1, 5, 5, 5, 5]), r"50\.00% of the 2 documents of 'ja/\*' end with EOS, expected all"),
], ids=["BOS", "EOS"])
def test_documents_that_lost_their_frame_are_refused(documents: tuple[list[int]], words: str, tmp_path: Path) -> None:
    index = TokenIndex(
        version=5, sequence_length=LENGTH, seed=5, dtype="<u2", tokenizer="0" * 64, heldout=(),
        tokenizer_fingerprint=FINGERPRINT,
        sources=(write_documents(tmp_path, *documents),), mixture=write_order(tmp_path, quick_mixture([1.0])),
    )
    with pytest.raises(InputError, match=words):
        check_special_tokens(tmp_path, index)


def test_an_id_that_is_no_piece_is_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(TokenizerMismatch, match=r"gave token 60,000, but the last of its tokenizer's pieces is 59,999"):
        write_documents(tmp_path, [1, 5, 6, 7, 60_000, 8, 9, 9, 9, 2])


def test_an_id_that_would_wrap_around_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenizerMismatch, match=r"document 0 has token 65,540, which does not fit into <u2"):
        write_documents(tmp_path, [1, 65_540, 6, 7, 7, 8, 9, 9, 9, 2])


def test_an_index_of_version_4_is_refused_with_the_next_step(tmp_path: Path) -> None:
    write_shards(tmp_path, {"ja": [50]}, [1.0])
    index = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(index | {"version": 4}))
    with pytest.raises(InputError, match=r"index\.json is of version 4, expected 5\. Run the pack stage again"):
        TokenShards(tmp_path)
