"""A page's bytes in, its main text out: paragraphs as lines, navigation and footers left behind."""

import re
from collections.abc import Sequence

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding
from resiliparse.parse.html import HTMLTree

CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
INNER_TABS = re.compile(r"(?<=\S)[ \t]*\t[ \t]*")
MANY_LINES = re.compile(r"\n{3,}")
HTML = ("text/html", "application/xhtml+xml")
READABLE = (*HTML, "text/plain")


def extract(body: bytes, content_type: str, skip_elements: Sequence[str]) -> str:
    """The text of an HTML or plain-text page; `skip_elements` are CSS selectors of what is no text.

    The encoding is the one that the header names, else the page's own `meta`, else the likeliest.
    """
    encoding = encoding_of(body, content_type)
    if media_type(content_type) not in HTML:
        return tidy(body.decode(encoding, errors="replace"))
    tree = HTMLTree.parse_from_bytes(body, encoding, errors="replace")
    text = extract_plain_text(
        tree, preserve_formatting=True, main_content=True, alt_texts=False, skip_elements=list(skip_elements)
    )
    return tidy(text)


def media_type(content_type: str) -> str:
    """The type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def encoding_of(body: bytes, content_type: str) -> str:
    """A codec that Python knows."""
    named = CHARSET.search(content_type)
    if named and is_codec(named[1]):
        return named[1]
    found: str | None = detect_encoding(body, from_html_meta=True)
    return found if found and is_codec(found) else "utf-8"


def is_codec(name: str) -> bool:
    """Whether Python can decode it as text."""
    try:
        b"".decode(name)
    except (LookupError, UnicodeError):
        return False
    return True


def tidy(text: str) -> str:
    """Without trailing space, cells of a table two spaces apart, at most one empty line in a row."""
    lines = (INNER_TABS.sub("  ", line).rstrip() for line in text.splitlines())
    return MANY_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
