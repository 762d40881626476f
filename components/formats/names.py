"""Names that come from elsewhere, made safe to print and to put into a header; what they are stays readable.

A name may hold whatever a file system or a stranger's JSON lets it: line ends that begin a header or a line of their own, codes
that move a terminal's cursor, marks that turn the direction of writing around, bytes that are no text.
"""

import re

UNSEEN = "\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff\\ud800-\\udfff"
"""Control characters, marks of direction, line ends of Unicode, lone surrogates: as ranges of a regular expression."""
SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
ANY_UNSEEN = re.compile(f"[{UNSEEN}]")
UNSEEN_IN_LINES = re.compile(f"(?![\\n\\t])[{UNSEEN}]")


def escape(found: re.Match[str]) -> str:
    """The character as JSON spells it: a line of JSON in which it is escaped still means the same."""
    return SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}"


def printable(name: str) -> str:
    """The name in one line."""
    return ANY_UNSEEN.sub(escape, name)


def printable_lines(text: str) -> str:
    """A text in which line ends and tabs stay what they are."""
    return UNSEEN_IN_LINES.sub(escape, text)


def header_uri(uri: str) -> str:
    """The address with each unseen character percent-encoded (RFC 3986); any other stays."""

    def encode(found: re.Match[str]) -> str:
        code = ord(found[0])
        raw = bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else found[0].encode("utf-8", "surrogatepass")
        return "".join(f"%{byte:02X}" for byte in raw)

    return ANY_UNSEEN.sub(encode, uri)
