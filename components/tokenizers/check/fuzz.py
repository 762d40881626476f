"""Makes random strings from a fixed seed: all planes, marks, emoji, white space, joined pieces, specials spelled out."""

import random
from collections.abc import Callable, Sequence

from components.tokenizers.check.readers.reader import Piece

SEED = 20240311
MARKS = ["\u0301", "\u0308", "\u3099", "\u309a", "\u0e31", "\u093f", "\u20dd", "\ufe0f", "\ufe0e", "\u200d", "\u200b", "\u2060"]
EMOJI = ["😀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇯🇵", "👍🏽", "❤️", "1️⃣", "🧑🏿‍🚀", "🫠", "⛩️"]
SPACES = [" ", "  ", "   ", " " * 17, "\t", "\t\t", "\n", "\n\n", "\r\n", "\r", "\u3000", "\u00a0", "\u2003", "\u2028", "\x0b"]
HALF_WIDTH = [chr(code) for code in range(0xFF61, 0xFFA0)]
SPELLED = ["<s>", "</s>", "<unk>", "<pad>", "[INST]", "[/INST]", "<|im_start|>", "<|endoftext|>", "<0x0A>", "[UNK]", "##a"]
EDGES = ["\x00", "\x7f", "\ufffd", "\ufeff", "\uffff", "\U0010ffff", "𠮷", "葛\U000e0100", "\u2581", "か\u3099", "ﬁ", "①"]
BLOCKS = [(0x20, 0x7F), (0x80, 0x250), (0x370, 0x600), (0x900, 0xE80), (0x3040, 0x3100), (0x4E00, 0xA000), (0xAC00, 0xD7A4)]


def random_strings(count: int, inventory: Sequence[Piece]) -> list[str]:
    """`count` strings of 1 to 24 parts; the same vocabulary gives the same strings."""
    rng = random.Random(SEED)  # noqa: S311  (repeatable, not secret)
    pieces = [piece.text for piece in inventory if piece.kind == "text" and piece.text] or [" "]
    newest = pieces[-max(1, len(pieces) // 10):]
    makers: list[Callable[[], str]] = [
        lambda: rng.choice(pieces), lambda: rng.choice(newest), lambda: rng.choice(newest), lambda: any_character(rng),
        lambda: chr(rng.randrange(*rng.choice(BLOCKS))), lambda: chr(rng.randrange(0x20)), lambda: rng.choice(MARKS),
        lambda: rng.choice(EMOJI), lambda: rng.choice(SPACES), lambda: rng.choice(HALF_WIDTH), lambda: rng.choice(SPELLED),
        lambda: rng.choice(EDGES),
    ]
    # a string with few kinds of parts is closer to real text than one with all kinds
    return [one_string(rng, rng.sample(makers, rng.randint(1, 4))) for _ in range(count)]


def one_string(rng: random.Random, makers: Sequence[Callable[[], str]]) -> str:
    """A string of parts of the given kinds."""
    return "".join(rng.choice(makers)() for _ in range(rng.randint(1, 24)))


def any_character(rng: random.Random) -> str:
    """A code point of any plane that is not half of a surrogate pair."""
    code = rng.randrange(0x110000 - 0x800)
    return chr(code if code < 0xD800 else code + 0x800)
