"""Tokens, keys and addresses as the environment gives them, checked before a library trips over them.

White space around a value is dropped, because a file read by a shell leaves a newline. No message holds a secret.
"""

import os
from urllib.parse import urlsplit

from pydantic import SecretStr

from components.errors import SourceMissing

AWS_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
AWS_ADDRESSES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
AWS_WORDS = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE")


def secret_of(variable: str) -> SecretStr | None:
    """The secret in a variable; None if it is absent or empty. Raises `SourceMissing` if it cannot be one."""
    value = os.environ.get(variable, "").strip()
    if value[:1] in ("'", '"'):
        raise SourceMissing(f"{variable} begins with a quotation mark. Set it to the bare value, without quotes.")
    strange = next((place for place, character in enumerate(value, 1) if not "!" <= character <= "~"), None)
    if strange is not None:
        raise SourceMissing(
            f"{variable} holds a space, a line end or another character that no token has, at place {strange:,} of "
            f"{len(value):,}. Copy the value again, as one word of ASCII characters."
        )
    return SecretStr(value) if value else None


def address_of(variable: str) -> str | None:
    """The URL in a variable; None if it is absent or empty. Raises `SourceMissing` if it is no address of a server."""
    value = os.environ.get(variable, "").strip()
    if not value:
        return None
    try:
        parts = urlsplit(value)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address or any(not "!" <= character <= "~" for character in value):
        shown = "" if "@" in value else f", not {value!r}"
        raise SourceMissing(f"{variable} must be an address such as https://host.example.org or http://127.0.0.1:9000{shown}. "
                            "Put https:// in front of the server's name, or unset it.")
    return value.rstrip("/")


def tidy_aws_variables() -> None:
    """Drops white space around what boto3 reads from the environment. Raises `SourceMissing` for what cannot be used."""
    for variable in AWS_SECRETS:
        if secret := secret_of(variable):
            os.environ[variable] = secret.get_secret_value()
    for variable in AWS_ADDRESSES:
        if address := address_of(variable):
            os.environ[variable] = address
    for variable in AWS_WORDS:
        if variable in os.environ:
            os.environ[variable] = os.environ[variable].strip()
