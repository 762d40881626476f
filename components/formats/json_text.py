"""JSON that comes from elsewhere, read so that whatever is wrong with it is one kind of error."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text; bytes may begin with a byte order mark, and may be UTF-8, UTF-16 or UTF-32.

    Raises `ValueError` for all that cannot be read: what is no JSON, is nested too deeply for Python, holds an integer of
    more digits than Python converts, or bytes that are no text.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
