"""Extracts the main text of a page from its bytes: paragraphs become lines, navigation and footers are left out."""

import re
from collections.abc import Sequence

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from components.clean.page import Page

CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
JOINER = "\u2060"
LONE_CHARACTER = re.compile(r"(?<=>)\s*(?:[\u0800-\ud7ff\uf900-\uffff]|&#x?[0-9a-fA-F]+;)(?=\s*<)")
"""resiliparse 2.0 takes any single character of three bytes between two tags for an icon and drops it: 、 and と above all.

A word joiner, which has no width, makes it two characters; it is taken out again.
"""

PROLOGUE = 500
SELF_CLOSED = re.compile(
    r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)([a-z][a-z0-9]*)(\s[^<>]*)?/>",
    re.IGNORECASE,
)
"""An element closed in its own tag, but for those that HTML leaves empty anyway."""

INNER_TABS = re.compile(r"(?<=\S)[ \t]*\t[ \t]*")
MANY_LINES = re.compile(r"\n{3,}")
HTML = ("text/html", "application/xhtml+xml")
SHIFT_JIS = ("shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j", "ms_kanji", "ms932", "csshiftjis")
"""What the web calls Shift_JIS is Microsoft's extension of it; the plain codec loses ① and 髙."""

READABLE = (*HTML, "text/plain")


def read_text(page: Page, skip_elements: Sequence[str]) -> tuple[str, str | None]:
    """The page's text, or the reason why there is none: "no_text_response" or "no_text"."""
    if page.status != 200 or media_type(page.content_type) not in READABLE:
        return "", "no_text_response"
    text = extract(page.body, page.content_type, skip_elements)
    return text, None if text.strip() else "no_text"


def extract(body: bytes, content_type: str, skip_elements: Sequence[str]) -> str:
    """The text of an HTML or plain-text page; `skip_elements` are CSS selectors of what is not text.

    The encoding is the one that the header names, else the page's own `meta`, else the likeliest.
    """
    encoding = encoding_of(body, content_type)
    if media_type(content_type) not in HTML:
        return tidy(body.decode(encoding, errors="replace"))
    html = LONE_CHARACTER.sub(rf"\g<0>{JOINER}", as_html(bytes_to_str(body, encoding, errors="replace")))
    text = extract_plain_text(
        html, preserve_formatting=True, main_content=True, alt_texts=False, skip_elements=list(skip_elements)
    )
    return tidy(text.replace(JOINER, ""))


def as_html(page: str) -> str:
    """XHTML's `<a id="x"/>` as `<a id="x"></a>`: to an HTML parser the first is a link that swallows the page."""
    if "<?xml" not in page[:PROLOGUE] and "//DTD XHTML" not in page[:PROLOGUE]:
        return page
    return SELF_CLOSED.sub(r"<\1\2></\1>", page)


def media_type(content_type: str) -> str:
    """The type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def encoding_of(body: bytes, content_type: str) -> str:
    """The name of the page's encoding, one that Python knows."""
    named = CHARSET.search(content_type)
    for name in (named[1] if named else "", detect_encoding(body, from_html_meta=True) or ""):
        codec = "cp932" if name.lower() in SHIFT_JIS else name
        if codec and is_codec(codec):
            return codec
    return "utf-8"


def is_codec(name: str) -> bool:
    """Whether Python knows it; decoding an empty text would not look it up."""
    try:
        b"?".decode(name)
    except (LookupError, UnicodeError):
        return False
    return True


def tidy(text: str) -> str:
    """The text without trailing space, a table's cells two spaces apart, at most one empty line in a row."""
    lines = (INNER_TABS.sub("  ", line).rstrip() for line in text.splitlines())
    return MANY_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
