"""What the new rows promise: old bytes untouched, each start as its source says, every file of the folder in agreement."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from components.errors import InputError, TokenizerMismatch
from components.expand.embeddings.initialise import Initialisation
from components.expand.embeddings.rows import ROWS_AT_ONCE
from components.expand.embeddings.weights import Rows, check_matrices, enlarge
from components.models.float_conversion import decode, encode
from components.models.folder import EMBEDDING, HEAD, INDEX, check_rows
from components.models.safetensors_stream import read_header
from components.publish.checks import check_vocabulary

PIECES, WIDTH = 40, 16
NORM = "model.norm.weight"
DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
SUBPIECES = [[3], [1, 2], [5, 6, 7], [9, 9, 4, 8, 30, 31]]
MEAN: dict[str, Any] = {"kind": "mean_of_subpieces"}
EVERY_KIND: list[dict[str, Any]] = [
    MEAN, {"kind": "position_weighted"}, {"kind": "noisy_mean", "noise": 0.1}, {"kind": "global_mean"}, {"kind": "normal"},
]
KINDS = [fields["kind"] for fields in EVERY_KIND]
FILE = "model.safetensors"


def rows(subpieces: list[list[int]], initialise: dict[str, Any] = MEAN, *, padding: int = 0, seed: int = 1) -> Rows:
    return Rows(PIECES, subpieces, padding, TypeAdapter(Initialisation).validate_python(initialise), seed)


def tensors_of(dtype: torch.dtype = torch.bfloat16, *, height: int = PIECES, tied: bool = False) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    shapes = {EMBEDDING: (height, WIDTH), NORM: (WIDTH,)} | ({} if tied else {HEAD: (height, WIDTH)})
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def write_model(folder: Path, tensors: dict[str, torch.Tensor], **config: Any) -> Path:
    folder.mkdir(parents=True)
    save_file(tensors, folder / FILE, metadata={"format": "pt"})
    values = {"vocab_size": len(tensors[EMBEDDING]), "tie_word_embeddings": HEAD not in tensors, "initializer_range": 0.02}
    (folder / "config.json").write_text(json.dumps(values | config), encoding="utf-8")
    return folder


def grown(folder: Path, tensors: dict[str, torch.Tensor], what: Rows, **config: Any) -> dict[str, torch.Tensor]:
    """The tensors after they were written, enlarged and read by the library."""
    enlarge(write_model(folder / "model", tensors, **config), folder / "enlarged", what)
    found: dict[str, torch.Tensor] = load_file(folder / "enlarged" / FILE)
    return found


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def mean_rounded_once(matrix: torch.Tensor, places: list[int]) -> torch.Tensor:
    mean = np.mean(matrix[places].float().numpy(), axis=0, dtype=np.float32)
    return torch.from_numpy(mean).to(matrix.dtype)


# the mean of subpieces

@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_old_rows_keep_their_bits_and_new_ones_are_float32_means_rounded_once(
    tmp_path: Path, dtype: torch.dtype, tied: bool
) -> None:
    old = tensors_of(dtype, tied=tied)
    new = grown(tmp_path, old, rows(SUBPIECES))
    assert new.keys() == old.keys()
    assert bits(new[NORM]) == bits(old[NORM])
    for name in {EMBEDDING, HEAD} & old.keys():
        assert new[name].shape == (PIECES + len(SUBPIECES), WIDTH)
        assert bits(new[name][:PIECES]) == bits(old[name])
        wanted = [mean_rounded_once(old[name], places) for places in SUBPIECES]
        assert bits(new[name][PIECES:]) == bits(torch.stack(wanted))


def test_rounding_each_sum_would_give_other_rows(tmp_path: Path) -> None:
    """The control of the test above: in bfloat16 the order of rounding shows."""
    old = tensors_of()
    twice = (old[HEAD][5] + old[HEAD][6] + old[HEAD][7]) / 3
    assert bits(grown(tmp_path, old, rows([[5, 6, 7]]))[HEAD][PIECES]) != bits(twice)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, PIECES - 1), min_size=1, max_size=6), min_size=1, max_size=9))
def test_every_row_is_the_mean_of_its_own_subpieces(
    tmp_path_factory: pytest.TempPathFactory, subpieces: list[list[int]]
) -> None:
    old = tensors_of()
    new = grown(tmp_path_factory.mktemp("model"), old, rows(subpieces))
    for name in (EMBEDDING, HEAD):
        assert bits(new[name][PIECES:]) == bits(torch.stack([mean_rounded_once(old[name], places) for places in subpieces]))


def test_bfloat16_is_rounded_as_torch_rounds_it() -> None:
    """Every bfloat16 that is finite, with what lies around each half of its last place."""
    upper = np.arange(1 << 16, dtype=np.uint32) << 16
    values = np.concatenate([upper | low for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)]).view(np.float32)
    values = values[np.isfinite(values)]
    torchs = torch.from_numpy(values).to(torch.bfloat16)
    assert encode(values, "BF16") == bits(torchs)
    assert np.array_equal(decode(bits(torchs), "BF16"), torchs.float().numpy())


# the other starts

def test_position_weights_favour_the_last_subpiece_going_in_and_the_first_coming_out(tmp_path: Path) -> None:
    old = tensors_of(torch.float32)
    new = grown(tmp_path, old, rows([[5, 6, 7]], {"kind": "position_weighted"}))
    rising = (old[EMBEDDING][5] + 2 * old[EMBEDDING][6] + 3 * old[EMBEDDING][7]) / 6
    falling = (3 * old[HEAD][5] + 2 * old[HEAD][6] + old[HEAD][7]) / 6
    torch.testing.assert_close(new[EMBEDDING][PIECES], rising)
    torch.testing.assert_close(new[HEAD][PIECES], falling)


def test_position_weights_of_a_tied_matrix_are_the_inputs(tmp_path: Path) -> None:
    old = tensors_of(torch.float32, tied=True)
    new = grown(tmp_path, old, rows([[5, 6]], {"kind": "position_weighted"}))
    torch.testing.assert_close(new[EMBEDDING][PIECES], (old[EMBEDDING][5] + 2 * old[EMBEDDING][6]) / 3)


def test_noise_scatters_about_the_mean_by_the_stated_share_of_the_base_rows_deviation(tmp_path: Path) -> None:
    old = tensors_of(torch.float32)
    old[EMBEDDING] *= torch.linspace(0.1, 10, WIDTH)
    new = grown(tmp_path, old, rows([[5, 6]] * 4000, {"kind": "noisy_mean", "noise": 0.5}))
    for name in (EMBEDDING, HEAD):
        noise = new[name][PIECES:] - mean_rounded_once(old[name], [5, 6])
        units = noise / (0.5 * old[name].std(dim=0, correction=0))
        torch.testing.assert_close(units.std(dim=0), torch.ones(WIDTH), rtol=0.06, atol=0)
        torch.testing.assert_close(units.mean(dim=0), torch.zeros(WIDTH), rtol=0, atol=0.06)
        assert len(set(map(bits, new[name][PIECES:]))) == 4000


def test_a_fresh_row_has_the_models_initial_range(tmp_path: Path) -> None:
    new = grown(tmp_path, tensors_of(torch.float32), rows([[5]] * 4000, {"kind": "normal"}), initializer_range=0.3)
    for name in (EMBEDDING, HEAD):
        torch.testing.assert_close(new[name][PIECES:].std(dim=0), torch.full((WIDTH,), 0.3), rtol=0.06, atol=0)
        torch.testing.assert_close(new[name][PIECES:].mean(dim=0), torch.zeros(WIDTH), rtol=0, atol=0.02)


def test_global_mean_is_the_mean_of_the_base_rows_without_their_padding(tmp_path: Path) -> None:
    old = tensors_of(torch.float32, height=PIECES + 8)
    new = grown(tmp_path, old, rows([[5], [6]], {"kind": "global_mean"}))
    for name in (EMBEDDING, HEAD):
        mean = old[name][:PIECES].double().mean(dim=0).float()
        torch.testing.assert_close(new[name][PIECES:], mean.expand(2, WIDTH), rtol=1e-6, atol=1e-7)


def test_statistics_are_over_every_base_row_and_not_over_a_block_of_them(tmp_path: Path) -> None:
    base = 2 * ROWS_AT_ONCE + 7
    old = tensors_of(torch.float32, height=base)
    old[EMBEDDING][-1], old[HEAD][ROWS_AT_ONCE] = 1000.0, -1000.0  # the last row, and the first of a block, must count
    initialise = TypeAdapter(Initialisation).validate_python({"kind": "global_mean"})
    new = grown(tmp_path, old, Rows(base, [[5]], 0, initialise, 1))
    for name in (EMBEDDING, HEAD):
        torch.testing.assert_close(new[name][base], old[name].double().mean(dim=0).float(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("initialise", EVERY_KIND, ids=KINDS)
def test_a_row_does_not_depend_on_the_rows_that_are_made_beside_it(tmp_path: Path, initialise: dict[str, Any]) -> None:
    subpieces = [[place % PIECES, 3] for place in range(2 * ROWS_AT_ONCE + 5)]
    few, many = (
        grown(tmp_path / name, tensors_of(), rows(subpieces[:count], initialise))
        for name, count in (("few", ROWS_AT_ONCE + 1), ("many", len(subpieces)))
    )
    for name in (EMBEDDING, HEAD):
        assert bits(few[name]) == bits(many[name][: len(few[name])])


@pytest.mark.parametrize("initialise", [fields for fields in EVERY_KIND if fields["kind"] in ("noisy_mean", "normal")])
def test_chance_is_the_seeds_the_matrixs_and_the_rows(tmp_path: Path, initialise: dict[str, Any]) -> None:
    old = tensors_of()
    old[HEAD] = old[EMBEDDING].clone()
    one, other = (grown(tmp_path / str(seed), old, rows([[3], [3]], initialise, seed=seed)) for seed in (1, 2))
    new = [bits(matrix[place]) for found in (one, other) for matrix in (found[EMBEDDING], found[HEAD]) for place in (-2, -1)]
    assert len(set(new)) == 8


@pytest.mark.parametrize("initialise", EVERY_KIND, ids=KINDS)
def test_a_tied_head_that_is_stored_all_the_same_stays_equal_to_the_embedding(
    tmp_path: Path, initialise: dict[str, Any]
) -> None:
    old = tensors_of()
    old[HEAD] = old[EMBEDDING].clone()
    new = grown(tmp_path, old, rows(SUBPIECES, initialise, padding=3), tie_word_embeddings=True)
    assert bits(new[HEAD]) == bits(new[EMBEDDING])
    assert len(new[HEAD]) == PIECES + len(SUBPIECES) + 3


@pytest.mark.parametrize(("fields", "words"), [
    ({"kind": "zeros"}, "does not match any of the expected tags"),
    ({"kind": "noisy_mean"}, "Field required"),
    ({"kind": "noisy_mean", "noise": 0}, "greater than 0"),
    ({"kind": "normal", "noise": 0.1}, "Extra inputs"),
])
def test_a_start_that_is_not_on_the_menu_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        rows([], fields)


# padding

def test_base_padding_gives_way_and_new_padding_is_the_mean_of_the_base_rows(tmp_path: Path) -> None:
    old = tensors_of(torch.float32, height=PIECES + 8)
    new = grown(tmp_path, old, rows(SUBPIECES, padding=6), padding_rows=8)
    end = PIECES + len(SUBPIECES)
    for name in (EMBEDDING, HEAD):
        assert len(new[name]) == end + 6
        assert bits(new[name][:PIECES]) == bits(old[name][:PIECES])
        assert bits(new[name][PIECES]) == bits(old[name][3])
        mean = old[name][:PIECES].double().mean(dim=0).float()
        torch.testing.assert_close(new[name][end:], mean.expand(6, WIDTH), rtol=1e-6, atol=1e-7)
    config = json.loads((tmp_path / "enlarged/config.json").read_text())
    assert (config["vocab_size"], config["padding_rows"]) == (end + 6, 6)
    check_rows(tmp_path / "enlarged", end)
    check_matrices(tmp_path / "enlarged", end, 6)


def test_without_padding_config_says_nothing_of_it(tmp_path: Path) -> None:
    grown(tmp_path, tensors_of(height=PIECES + 8), rows(SUBPIECES), padding_rows=8)
    config = json.loads((tmp_path / "enlarged/config.json").read_text())
    assert config == {"vocab_size": PIECES + 4, "tie_word_embeddings": False, "initializer_range": 0.02}


@pytest.mark.parametrize(("padding", "pieces", "words"), [
    (8, PIECES + 8, r"48 pieces but the embedding has 48 rows \(expected 56: config.json states 8 padding rows\)"),
    (0, PIECES, "40 pieces but the embedding has 48 rows. Take both"),
    ("8", PIECES, "padding_rows is '8'"),
])
def test_padding_that_is_not_what_config_says_is_refused(tmp_path: Path, padding: Any, pieces: int, words: str) -> None:
    model = write_model(tmp_path / "model", tensors_of(height=PIECES + 8), padding_rows=padding)
    with pytest.raises(InputError, match=words):
        check_rows(model, pieces)


def test_a_release_may_hold_padding_rows_that_it_states(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", tensors_of(height=PIECES + 8), padding_rows=8)
    Tokenizer(models.BPE({chr(0x3042 + place): place for place in range(PIECES)}, [])).save(str(model / "tokenizer.json"))
    values = json.loads((model / "config.json").read_text())
    check_vocabulary(model, values)
    with pytest.raises(TokenizerMismatch, match=r"40 pieces and config.json states 8 padding rows but .* vocab_size says 40"):
        check_vocabulary(model, values | {"vocab_size": PIECES})


# the files

def test_the_file_is_the_one_that_the_library_would_write(tmp_path: Path) -> None:
    """Header, order, alignment: the library's writer, given the tensors that were read back, gives the same bytes."""
    old = tensors_of() | {"model.layers.0.bias": torch.arange(3, dtype=torch.int64), "modèle": torch.ones(1)}
    new = grown(tmp_path, old, rows(SUBPIECES, padding=1))
    save_file(new, tmp_path / "theirs", metadata={"format": "pt"})
    assert (tmp_path / "enlarged" / FILE).read_bytes() == (tmp_path / "theirs").read_bytes()


def test_a_file_without_metadata_gets_none(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", tensors_of())
    save_file(tensors_of(), model / FILE)
    enlarge(model, tmp_path / "enlarged", rows(SUBPIECES))
    with safe_open(tmp_path / "enlarged" / FILE, framework="pt") as shard:
        assert shard.metadata() is None


def write_shards(model: Path, metadata: dict[str, int]) -> dict[str, str]:
    """The model's tensors, a shard for each; the weight map."""
    tensors = load_file(model / FILE)
    (model / FILE).unlink()
    names = {name: f"model-{n:05}-of-00003.safetensors" for n, name in enumerate(sorted(tensors), 1)}
    for name, file in names.items():
        save_file({name: tensors[name]}, model / file, metadata={"format": "pt"})
    (model / INDEX).write_text(json.dumps({"metadata": metadata, "weight_map": names}))
    return names


def test_shards_are_copied_through_and_the_index_counts_the_new_rows(tmp_path: Path) -> None:
    old, output = tensors_of(), tmp_path / "enlarged"
    model = write_model(tmp_path / "model", old)
    numbers = sum(tensor.numel() for tensor in old.values())
    names = write_shards(model, {"total_size": 2 * numbers, "total_parameters": numbers})
    enlarge(model, output, rows(SUBPIECES))
    assert (output / names[NORM]).read_bytes() == (model / names[NORM]).read_bytes()
    written = json.loads((output / INDEX).read_text())
    assert written["weight_map"] == names
    counted = sum(load_file(output / file)[name].numel() for name, file in names.items())
    assert written["metadata"] == {"total_size": 2 * counted, "total_parameters": counted}
    assert counted == numbers + 2 * len(SUBPIECES) * WIDTH


def test_index_shrinks_where_more_padding_goes_than_pieces_come(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", tensors_of(height=PIECES + 8))
    write_shards(model, {"total_size": 10_000})
    enlarge(model, tmp_path / "enlarged", rows([[3]]))
    written = json.loads((tmp_path / "enlarged" / INDEX).read_text())
    assert written["metadata"] == {"total_size": 10_000 - 2 * 7 * WIDTH * 2}


# what is refused

def broken(folder: Path, change: str) -> Path:
    """A model folder with one thing wrong."""
    tensors = tensors_of()
    config: dict[str, Any] = {"vocab_size": PIECES, "tie_word_embeddings": False}
    match change:
        case "rows":
            tensors = tensors_of(height=PIECES + 8)
        case "no head":
            del tensors[HEAD]
        case "head rows":
            tensors[HEAD] = torch.cat([tensors[HEAD], tensors[HEAD]])
        case "width":
            tensors[HEAD] = tensors[HEAD][:, :8].contiguous()
        case "dtype":
            tensors[EMBEDDING] = tensors[EMBEDDING].to(torch.float8_e4m3fn)
        case "config":
            config["vocab_size"] = PIECES + 1
    model = write_model(folder, tensors, **config)
    if change == "cut off":
        (model / FILE).write_bytes((model / FILE).read_bytes()[:-100])
    if change == "no embedding":
        save_file({HEAD: tensors[HEAD]}, model / FILE)
    return model


@pytest.mark.parametrize(("change", "error", "words"), [
    ("rows", TokenizerMismatch, "40 pieces but the embedding has 48 rows: expected 40.*set expand.base_padding_rows: 8"),
    ("head rows", TokenizerMismatch, "40 pieces but lm_head.weight has 80 rows: expected 40"),
    ("config", TokenizerMismatch, "states vocab_size 41, but embedding and head have 40 rows"),
    ("no head", InputError, "holds no lm_head.weight, and config.json does not set tie_word_embeddings"),
    ("no embedding", InputError, "holds no model.embed_tokens.weight. Fetch"),
    ("width", InputError, r"lm_head.weight is BF16 \[40, 8\]; expected .* the width of the embedding"),
    ("dtype", InputError, r"embed_tokens.weight is F8_E4M3 \[40, 16\]; expected F32, F16, BF16"),
    ("cut off", InputError, "is not a whole safetensors file"),
])
def test_a_model_that_cannot_be_enlarged_is_refused_with_both_numbers(
    tmp_path: Path, change: str, error: type[InputError], words: str
) -> None:
    with pytest.raises(error, match=words):
        check_matrices(broken(tmp_path / "model", change), PIECES, 0)


@pytest.mark.parametrize(("index", "words"), [
    ("{", "is not JSON"), ("[]", "holds no JSON object"), ("{}", "has no weight_map"),
    ({EMBEDDING: "../model.safetensors"}, r"lies in '\.\./model\.safetensors'; the name of a file next to it"),
    ({EMBEDDING: "absent.safetensors"}, "absent.safetensors does not exist"),
    ({EMBEDDING: FILE, "model.layers.9.x": FILE}, f"layers.9.x was expected in {FILE} and found in no shard"),
    ({EMBEDDING: FILE, "model.layers.9.x": "more.safetensors"}, f"weight was expected in {FILE} and found in {FILE}, more"),
])
def test_an_index_that_does_not_tell_the_shards_is_refused(tmp_path: Path, index: str | dict[str, str], words: str) -> None:
    model = write_model(tmp_path / "model", tensors_of())
    save_file({EMBEDDING: tensors_of()[EMBEDDING], "model.layers.9.x": torch.zeros(1)}, model / "more.safetensors")
    text = index if isinstance(index, str) else json.dumps({"metadata": {}, "weight_map": index})
    (model / INDEX).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        check_matrices(model, PIECES, 0)


@pytest.mark.parametrize(("text", "words"), [("{", "config.json is not JSON"), ("[]", "config.json holds no JSON object")])
def test_a_config_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    model = write_model(tmp_path / "model", tensors_of())
    (model / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        check_matrices(model, PIECES, 0)


@pytest.mark.parametrize(("padding", "words"), [
    (0, "has 48 rows: expected 40.*base_padding_rows: 8"),
    (4, "has 48 rows, and expand.base_padding_rows is 4: expected 44.*base_padding_rows: 8"),
    (16, "has 48 rows, and expand.base_padding_rows is 16: expected 56.*base_padding_rows: 8"),
])
def test_the_message_names_the_padding_that_would_fit(tmp_path: Path, padding: int, words: str) -> None:
    model = write_model(tmp_path / "model", tensors_of(height=PIECES + 8))
    check_matrices(model, PIECES, 8)
    with pytest.raises(TokenizerMismatch, match=words):
        check_matrices(model, PIECES, padding)


def test_no_padding_is_offered_where_rows_are_missing(tmp_path: Path) -> None:
    with pytest.raises(TokenizerMismatch, match=r"41 pieces but the embedding has 40 rows: .* one release\.$"):
        check_matrices(write_model(tmp_path / "model", tensors_of()), PIECES + 1, 0)


def test_a_row_that_is_no_number_is_refused_and_not_passed_on(tmp_path: Path) -> None:
    old = tensors_of()
    old[HEAD][6, 3] = torch.nan
    with pytest.raises(InputError, match=r"lm_head.weight holds numbers that are not finite, and new row 42 would start"):
        grown(tmp_path, old, rows([[1], [2], [5, 6]]))


def test_a_fresh_row_needs_the_models_initial_range(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"initializer_range is None; .* Add the one"):
        grown(tmp_path, tensors_of(), rows([[1]], {"kind": "normal"}), initializer_range=None)


def test_a_file_that_another_cut_meanwhile_is_noticed(tmp_path: Path) -> None:
    from components.models.safetensors_stream import copied

    model = write_model(tmp_path / "model", tensors_of())
    tensor = read_header(model / FILE).tensors[-1]
    with (model / FILE).open("r+b") as stream:
        stream.truncate(tensor.offset + tensor.size - 8)
    with pytest.raises(InputError, match="ended 8 bytes early"):
        list(copied(tensor).blocks)
