"""Where MLflow is, read from MLFLOW_TRACKING_URI; credentials in it go to the variables that MLflow reads them from.

The address that is left may be written down and shown. Imports no MLflow.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from infra.servers.running import is_ours
from infra.servers.secret import USER, secret_of
from infra.settings import Settings

VARIABLE = "MLFLOW_TRACKING_URI"
HIDDEN = "***"


@dataclass(frozen=True)
class Address:
    """An MLflow: what to hand to its client, what may be shown, and the words that may not."""

    uri: str
    """For MLflow's client. A database's keeps its password, which has no variable of its own."""
    shown: str
    """Without user and password."""
    username: str = ""
    password: str = ""
    """Those that stood in the URI of a server, or are those of our own."""

    def environment(self) -> dict[str, str]:
        """MLflow's variables for this address."""
        named = {"MLFLOW_TRACKING_USERNAME": self.username, "MLFLOW_TRACKING_PASSWORD": self.password}
        return {VARIABLE: self.uri, **{name: value for name, value in named.items() if value}}

    @property
    def is_server(self) -> bool:
        """Whether it is asked by HTTP."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def is_database(self) -> bool:
        """Whether it is a database, used without a server."""
        return self.uri.startswith(("sqlite:", "postgresql", "mysql", "mssql"))

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a database file, used without a server."""
        return self.uri.startswith("sqlite:")

    @property
    def database(self) -> Path:
        """The file of a SQLite database."""
        return Path(self.uri.removeprefix("sqlite:///").partition("?")[0])

    def scrub(self, text: str) -> str:
        """The text without user and password, wherever they stand in it."""
        text = text.replace(self.uri, self.shown)
        _, user, password = split(self.uri)
        secrets = [password, unquote(password), self.password, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""),
                   os.environ.get("MLFLOW_TRACKING_TOKEN", "")]  # fmt: skip
        text = text.replace(f"{user}:{password}@", "") if password else text
        for secret in secrets:
            text = text.replace(secret, HIDDEN) if len(secret) > len(HIDDEN) else text
        return text


def configured_address() -> Address:
    """The user's MLflow if one is configured, with our secret if it is ours; otherwise a database below MARTLET_HOME."""
    home = Settings().home.absolute()
    address = read_address(os.environ.get(VARIABLE, "").strip() or f"sqlite:///{home / 'mlflow.db'}", Path.cwd())
    if is_ours(home, address.uri):
        return replace(address, username=USER, password=secret_of(home).get_secret_value())
    return address


def read_address(uri: str, folder: Path) -> Address:
    """The address that a URI means; a relative path in it is one below `folder`."""
    uri = uri.strip()
    if uri.startswith("sqlite:///"):
        path = uri.removeprefix("sqlite:///")
        uri = f"sqlite:///{path if path.startswith('file:') else folder / path}"
        return Address(uri, uri)  # no user, no password
    shown, user, password = split(uri)
    if not uri.startswith(("http://", "https://")):
        return Address(uri, shown)
    shown = shown.partition("#")[0].rstrip("/")  # the page's address, as copied from a browser, is the server's
    return Address(shown, shown, unquote(user), unquote(password))


def split(uri: str) -> tuple[str, str, str]:
    """The URI without user and password; the user; the password, both still quoted."""
    place = urlsplit(uri).netloc
    credentials, at, _ = place.rpartition("@")
    user, _, password = credentials.partition(":")
    return uri.replace(f"{credentials}@", "", 1) if at else uri, user, password
