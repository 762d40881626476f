"""An ASGI gate before a server on loopback: lets its owner's programs and browser through, and refuses everybody else.

Loopback keeps other machines out, but neither this machine's other users nor the pages that its owner's browser shows. A page
can have the browser ask `127.0.0.1`: under a name of its own that it made point here (the `Host` then says so), or from its own
origin. Browsers send a cookie to every port of a host, so pages of another user's server here count as foreign as well.
"""

import html
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from urllib.parse import parse_qs

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.servers.secret import authorization

ENTRANCE = "/enter"
LOOPBACK_NAMES = {"127.0.0.1", "localhost", "[::1]"}
CLOSED = "This page is its owner's. Open the link that `martlet ui` printed when it started; older links are void.\n"


@dataclass(frozen=True)
class Keys:
    """What opens a gate: the state folder's secret for programs, and for browsers the key of one start; without it, none."""

    secret: SecretStr
    browser: SecretStr | None = None

    @property
    def cookie(self) -> str:
        """The cookie's name: of two `martlet ui` on one machine, neither logs the other's browser out."""
        key = self.browser.get_secret_value() if self.browser else ""
        return f"martlet-{sha256(key.encode()).hexdigest()[:8]}"


class Gate:
    """Lets requests with the secret or the cookie through, and anybody's to `health`; the printed link leads to `start`."""

    def __init__(self, app: ASGIApp, keys: Keys, health: str, start: str = "/") -> None:
        self.app = app
        self.keys = keys
        self.health = health
        self.start = start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands the request on, or answers it with 401 or 403; a refused websocket is never accepted."""
        answer = None if scope["type"] == "lifespan" else self.answer(scope)
        if answer is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await answer(scope, receive, send)

    def answer(self, scope: Scope) -> Response | None:
        """The gate's own answer; None for what may pass."""
        headers = Headers(scope=scope)
        if foreign := "; ".join(foreign_words(scope, headers)):
            return PlainTextResponse(f"refused: {foreign}\n", HTTPStatus.FORBIDDEN)
        if scope["path"] == self.health and scope.get("method") in ("GET", "HEAD"):
            return None
        if scope["path"] == ENTRANCE:
            return self.enter(scope)
        if self.is_owner(headers):
            return None
        return PlainTextResponse(CLOSED, HTTPStatus.UNAUTHORIZED, {"Cache-Control": "no-store"})

    def is_owner(self, headers: Headers) -> bool:
        """Whether a request carries the secret, or the cookie of this start."""
        if is_same(headers.get("authorization", ""), authorization(self.keys.secret)):
            return True
        return any(is_same(value, self.keys.browser) for value in cookies(headers, self.keys.cookie))

    def enter(self, scope: Scope) -> Response:
        """Gives the browser that follows the printed link its cookie, and leads on by a page of our own.

        A redirect would not do: where the link was clicked in another page, the browser counts it as that page's, and does
        not send the new cookie along.
        """
        given = parse_qs(scope["query_string"].decode("ascii", "replace")).get("key", [""])[0]
        if self.keys.browser is None or not is_same(given, self.keys.browser):
            return PlainTextResponse(CLOSED, HTTPStatus.FORBIDDEN, {"Cache-Control": "no-store"})
        page = f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(self.start)}"><title>Martlet</title>\n'
        answer = HTMLResponse(page, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        key = self.keys.browser.get_secret_value()
        answer.set_cookie(self.keys.cookie, key, httponly=True, samesite="strict", path="/")
        return answer


def foreign_words(scope: Scope, headers: Headers) -> Iterator[str]:
    """What says that a request was made under another name of this machine, or by another origin's page."""
    hosts = headers.getlist("host")
    name = hosts[0].lower() if len(hosts) == 1 else ""
    address, _, port = name.rpartition(":")
    if (address if port.isdigit() else name) not in LOOPBACK_NAMES:
        yield f"this server is asked as 127.0.0.1 or localhost, not as {hosts}"
    for origin in headers.getlist("origin"):
        if origin.lower() not in (f"http://{name}", f"https://{name}"):
            yield f"a page of {origin!r} may not ask it"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not is_navigation(scope, headers):
        yield "another origin's page may not ask it"


def is_navigation(scope: Scope, headers: Headers) -> bool:
    """Whether a link was followed: the browser shows the answer as a page of its own, and to nobody else."""
    shown = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return shown and scope.get("method") in ("GET", "HEAD")


def cookies(headers: Headers, name: str) -> Iterator[str]:
    """The values of a cookie."""
    for line in headers.getlist("cookie"):
        for part in line.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                yield value.strip('"')


def is_same(given: str, expected: str | SecretStr | None) -> bool:
    """Compares in a time that says nothing of the secret; nothing is the same as None."""
    if expected is None:
        return False
    text = expected if isinstance(expected, str) else expected.get_secret_value()
    return secrets.compare_digest(given.encode("utf-8", "surrogateescape"), text.encode())
