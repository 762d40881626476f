"""A run's remote stands in the `.dvc/config` of its workspace, which is committed: its URL, and never a key."""

import configparser
import io
from pathlib import Path
from urllib.parse import urlsplit

from components.errors import ParameterError
from components.formats.files import write_text

NAME = "results"
"""What the remote of MARTLET_REMOTE is called in `.dvc/config`."""
UNWRITABLE = ("#", "'", '"', ",", "\n", "\r")
"""Characters that mean something else in that file."""

Remote = dict[str, str]
"""A remote as DVC's configuration describes it: its `url`, and options."""


def normal_address(text: str) -> str:
    """What MARTLET_REMOTE says, as it is committed: a URL, or an absolute folder. Raises `ParameterError` for secrets."""
    if found := [character for character in UNWRITABLE if character in text]:
        raise ParameterError(f"MARTLET_REMOTE holds {found[0]!r}, which a DVC remote's URL cannot. Give another URL or folder.")
    parts = urlsplit(text)
    if parts.scheme in ("", "file"):
        return str(Path(parts.path if parts.scheme else text).expanduser().absolute())
    if parts.password is not None or parts.query:
        raise ParameterError(
            f"MARTLET_REMOTE holds a password or a query ({parts.scheme}://…), and is committed with every run. Leave it out: "
            "the remote's own variables and files give it to its client, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    return text.rstrip("/")


def remote_in(folder: Path) -> Remote:
    """The default remote that the `.dvc/config` of a tree names; empty if it names none."""
    config = read(folder / ".dvc" / "config")
    name = unquoted(config.get("core", "remote", fallback=""))
    section = f"'remote \"{name}\"'"
    if not name or not config.has_section(section):
        return {}
    remote = {key: unquoted(value) for key, value in config[section].items()}
    if not urlsplit(remote["url"]).scheme:  # DVC means it from the folder of its configuration
        remote["url"] = str((folder / ".dvc" / remote["url"]).resolve())
    return remote


def write_remote(folder: Path, url: str) -> None:
    """Makes a URL the default remote of a tree; every other line of its `.dvc/config` stays. What is fetched is verified."""
    path = folder / ".dvc" / "config"
    config = read(path)
    section = f"'remote \"{NAME}\"'"
    config.read_dict({"core": {"remote": NAME}, section: {"url": url, "verify": "true"}})
    stream = io.StringIO()
    config.write(stream)
    write_text(path, stream.getvalue().strip() + "\n")


def read(path: Path) -> configparser.ConfigParser:
    """DVC's configuration, which is an INI file."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(path, encoding="utf-8")
    return config


def unquoted(value: str) -> str:
    """A value without the quotes around it."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
