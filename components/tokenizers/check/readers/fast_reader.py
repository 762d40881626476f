"""Reads a `tokenizer.json` of any kind: BPE, unigram, WordPiece or word level."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.tokenizers.byte_level import ALPHABET, text_of_bytes
from components.tokenizers.check.readers.reader import Piece, Reader, attempt
from components.tokenizers.sentencepiece import SPACE

WHITE_SPACE_CUTTERS = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit", "CharDelimiterSplit"}


@dataclass
class FastReader(Reader):
    """A tokenizer of the `tokenizers` library; `state` holds the values of tokenizer.json."""

    backend: Any = None
    bare: Any = None
    state: dict[str, Any] = field(default_factory=dict)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """As the port says."""
        return self._encode(self.backend, texts)

    def encode_inside(self, texts: Sequence[str]) -> list[list[int]]:
        """As the port says."""
        return self._encode(self.bare, texts)

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """As the port says."""
        lists, refused = [list(row) for row in rows], list[str]()
        texts = attempt(partial(self.backend.decode_batch, lists, skip_special_tokens=True), refused, list[str]())
        if not refused:
            return texts
        return [attempt(partial(self.backend.decode, row, skip_special_tokens=True), self.refusals, "") for row in lists]

    def normalise(self, texts: Sequence[str]) -> list[str]:
        """As the port says."""
        normalizer = self.bare.normalizer
        changed = texts if normalizer is None else [normalizer.normalize_str(text) for text in texts]
        return [text.replace(SPACE, " ") for text in changed] if self.escapes_space else list(changed)

    def exact(self) -> list[bytes]:
        """The pieces' names, and the scores of a unigram: the file says no more of a piece."""
        scores = self.state["model"]["vocab"] if self.state["model"]["type"] == "Unigram" else []
        stated = [f"{name} {score!r}".encode() for name, score in scores]
        return [*stated, *(piece.name.encode() for piece in self.inventory[len(stated):])]

    def rules(self) -> str:
        """Normaliser, pre-tokenizer, decoder, and the model's settings."""
        model = {key: value for key, value in self.state["model"].items() if key not in ("vocab", "merges")}
        return json.dumps([model, *(self.state[key] for key in ("normalizer", "pre_tokenizer", "decoder"))], sort_keys=True)

    def merges(self) -> list[str]:
        """As the port says."""
        return [pair if isinstance(pair, str) else " ".join(pair) for pair in self.state["model"].get("merges") or []]

    def _encode(self, backend: Any, texts: Sequence[str]) -> list[list[int]]:
        """Encodes all texts at once, or one by one if the library refuses one of them."""
        refused: list[str] = []
        found = attempt(partial(backend.encode_batch_fast, list(texts), add_special_tokens=False), refused, list[Any]())
        if not refused:
            return [encoding.ids for encoding in found]
        rows = (attempt(partial(backend.encode, text, add_special_tokens=False), self.refusals, None) for text in texts)
        return [[] if encoding is None else encoding.ids for encoding in rows]


def read_fast(path: Path) -> FastReader:
    """The reader of a tokenizer.json. Raises `InputError` if the library cannot read the file."""
    try:
        text = path.read_text(encoding="utf-8")
        return fast_reader_of(json.loads(text), path.name, text)
    except Exception as error:  # noqa: BLE001  (the library raises plain Exception)
        raise InputError(f"{path} cannot be read as a tokenizer ({error}). Fetch it again.") from None


def fast_reader_of(state: dict[str, Any], name: str, text: str = "") -> FastReader:
    """The reader of a tokenizer.json that was parsed from `text`. Raises whatever the library raises."""
    model, types = state["model"], types_in([state["normalizer"], state["pre_tokenizer"], state["decoder"]])
    model.setdefault("type", "BPE")
    backend, byte_level = backend_of(text or json.dumps(state)), "ByteLevel" in types
    # if words are cut at white space, its sign is put in front of each word, inside a sentence as well
    rules = {} if types & WHITE_SPACE_CUTTERS else {key: bared(state[key]) for key in ("normalizer", "pre_tokenizer")}
    bare = backend if rules.items() <= state.items() else backend_of(json.dumps(state | rules))
    names = backend.get_vocab(with_added_tokens=False)
    missing = frozenset(byte for byte, letter in ALPHABET.items() if byte_level and letter not in names)
    return FastReader(
        file=name, family=f"tokenizers {model['type']}{', byte-level' if byte_level else ''}", normaliser=words(state),
        inventory=inventory(backend, state, byte_level=byte_level), unknown=unknown_of(backend, model),
        complete=(byte_level and not missing) or bool(model.get("byte_fallback")),
        drops_white_space=bool(types & WHITE_SPACE_CUTTERS),
        escapes_space=not byte_level and SPACE in json.dumps([state["normalizer"], state["pre_tokenizer"]], ensure_ascii=False),
        missing_bytes=missing, prefixes_space=bare is not backend, backend=backend, bare=bare, state=state,
    )


def base_of(reader: FastReader, pieces: int) -> FastReader:
    """The base that was enlarged: the tokenizer without the ids from `pieces` on, and without the merges to them."""
    state, model = dict(reader.state), dict(reader.state["model"])
    added = {token["content"] for token in state["added_tokens"] if token["id"] >= pieces}
    if model["type"] == "Unigram":
        model["vocab"] = model["vocab"][:pieces]
    else:
        model["vocab"] = {name: number for name, number in model["vocab"].items() if number < pieces or name in added}
    if model.get("merges"):
        pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        model["merges"] = [pair for pair in pairs if {*pair, "".join(pair)} <= model["vocab"].keys()]
    return fast_reader_of(state | {"model": model}, reader.file)


def backend_of(text: str) -> Any:
    """The library's tokenizer, without the truncation and padding that some files ask for."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(text)
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    return backend


def bared(value: Any) -> Any:
    """The same rules with nothing put in front of a text."""
    if isinstance(value, list):
        return [bared(inner) for inner in value if not (isinstance(inner, dict) and inner.get("type") == "Prepend")]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "Prepend":
        return None
    changed = {key: bared(inner) for key, inner in value.items()}
    if changed.get("type") in ("ByteLevel", "Metaspace"):
        changed["add_prefix_space"] = False
    if changed.get("type") == "Metaspace":
        changed["prepend_scheme"] = "never"
        del changed["add_prefix_space"]
    return changed


def inventory(backend: Any, state: dict[str, Any], *, byte_level: bool) -> list[Piece]:
    """Every id, in order; ids that the file leaves out are unused."""
    names = {number: name for name, number in backend.get_vocab(with_added_tokens=True).items()}
    added = {token["id"]: token for token in state["added_tokens"]}
    unknown = unknown_of(backend, state["model"])
    pieces = []
    for number in range(max(names, default=-1) + 1):
        name, token = names.get(number), added.get(number)
        if name is None:
            pieces.append(Piece("", "unused", None))
        elif number == unknown or (token and token["special"]):
            pieces.append(Piece(name, "special", None))
        elif token:
            pieces.append(Piece(name, "text", name))
        else:
            pieces.append(piece_of(name, state["model"], byte_level=byte_level))
    return pieces


def piece_of(name: str, model: dict[str, Any], *, byte_level: bool) -> Piece:
    """An ordinary piece."""
    if byte_level:
        text = text_of_bytes(name)
        return Piece(name, "byte" if text is None else "text", text)
    if model.get("byte_fallback") and len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
        return Piece(name, "byte", None)
    if continues(name, model):
        return Piece(name, "text", None)
    return Piece(name, "text", name.replace(SPACE, " "))


def continues(name: str, model: dict[str, Any]) -> bool:
    """Whether the piece only stands at one place of a word, as "##ing" does, and so cannot be encoded alone."""
    prefix, suffix = model.get("continuing_subword_prefix"), model.get("end_of_word_suffix")
    return bool((prefix and name.startswith(prefix)) or (suffix and name.endswith(suffix)))


def unknown_of(backend: Any, model: dict[str, Any]) -> int | None:
    """The id for text that has no piece; None if there is none."""
    number: int | None = model.get("unk_id")
    if number is None and model.get("unk_token"):
        number = backend.token_to_id(model["unk_token"])
    return number


def types_in(value: Any) -> set[str]:
    """All "type"s that occur in the rules."""
    if isinstance(value, list):
        return {name for inner in value for name in types_in(inner)}
    if not isinstance(value, dict):
        return set()
    own = {value["type"]} if isinstance(value.get("type"), str) else set()
    return own.union(*(types_in(inner) for inner in value.values()))


def words(state: dict[str, Any]) -> str:
    """Names the steps of normaliser and pre-tokenizer."""
    return f"normaliser: {steps(state['normalizer'])}; words: {steps(state['pre_tokenizer'])}"


def steps(value: dict[str, Any] | None) -> str:
    """Names the steps of a sequence, in order."""
    if value is None:
        return "none"
    inner = value.get("normalizers", value.get("pretokenizers"))
    return str(value["type"]) if inner is None else " + ".join(steps(step) for step in inner) or "none"
