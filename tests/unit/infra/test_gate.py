"""The gate lets its owner's programs and browser through, and nobody else, nor another origin's page."""

import asyncio
import base64
from collections.abc import MutableMapping
from typing import Any

import pytest
from pydantic import SecretStr

from infra.servers.gate import Gate, Keys
from infra.servers.secret import authorization

SECRET, KEY = SecretStr("s" * 43), SecretStr("k" * 43)
KEYS = Keys(SECRET, KEY)
OURS = {"host": "127.0.0.1:4200"}
OWNER = {**OURS, "authorization": authorization(SECRET)}
BROWSER = {**OURS, "cookie": f"theme=dark; {KEYS.cookie}={KEY.get_secret_value()}"}
Message = MutableMapping[str, Any]


def ask(
    headers: dict[str, str], path: str = "/api/flows", *, method: str = "GET", query: str = "", kind: str = "http",
    keys: Keys = KEYS,
) -> list[Message]:  # fmt: skip
    """What is sent back; the server behind the gate says 200 to everything, and accepts every websocket."""

    async def server(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        return {"type": "http.request"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": kind, "method": method, "path": path, "query_string": query.encode(), "headers": raw}
    asyncio.run(Gate(server, keys, health="/api/health", start="/deployments")(scope, receive, send))
    return sent


def status(*arguments: Any, **options: Any) -> int:
    return int(ask(*arguments, **options)[0]["status"])


@pytest.mark.parametrize("headers", [OWNER, BROWSER, {**OWNER, "host": "localhost:8080"}, {**OWNER, "host": "[::1]:4200"}])
def test_its_owner_passes(headers: dict[str, str]) -> None:
    assert status(headers) == 200
    assert ask(headers, kind="websocket") == [{"type": "websocket.accept"}]


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"authorization": ""}, {"authorization": "Basic"}, {"authorization": basic("martlet:")}, {"cookie": KEYS.cookie},
        {"authorization": basic("martlet:" + "k" * 43)}, {"authorization": basic(":" + "s" * 43)},
        {"authorization": authorization(SECRET)[:-1]}, {"authorization": "Basic \u00fc"}, {"cookie": f"{KEYS.cookie}="},
        {"cookie": f"{KEYS.cookie}=" + "s" * 43}, {"cookie": "other=" + "k" * 43},
    ],
)  # fmt: skip
def test_others_do_not(headers: dict[str, str]) -> None:
    assert status({**OURS, **headers}) == 401
    assert status({**OURS, **headers}, method="POST") == 401
    assert ask({**OURS, **headers}, kind="websocket") == [{"type": "websocket.close", "code": 1008}]


def test_health_is_all_that_anybody_is_told() -> None:
    assert status(OURS, "/api/health") == 200
    assert status(OURS, "/api/health", method="HEAD") == 200
    assert status(OURS, "/api/health", method="POST") == 401
    for path in ("/api/health/", "/api/variables/name/health", "/health", "/api/ready", "/api/version"):
        assert status(OURS, path) == 401


@pytest.mark.parametrize("path", ["/api/flows", "/api/health", "/enter"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:4200", "127.0.0.1.evil.example:4200", "192.168.0.7:4200", ""])
def test_another_name_of_this_machine_is_refused_even_with_the_secret(host: str, path: str) -> None:
    assert status({**OWNER, "host": host}, path) == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:6666", "http://localhost:4200", "file://"])
def test_another_origins_page_is_refused_even_with_the_cookie(origin: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        assert status({**BROWSER, "origin": origin}, method=method) == 403
    assert ask({**BROWSER, "origin": origin}, kind="websocket") == [{"type": "websocket.close", "code": 1008}]
    assert status({**BROWSER, "origin": "http://127.0.0.1:4200"}, method="POST") == 200


def test_another_port_of_this_machine_may_link_here_but_show_or_load_nothing() -> None:
    """A browser takes all ports of a host for one site, and sends them all its cookies."""
    link = {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert status({**BROWSER, **link}) == 200
    assert status({**BROWSER, **link}, method="POST") == 403
    assert status({**BROWSER, **link, "sec-fetch-dest": "iframe"}) == 403
    assert status({**BROWSER, **link, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}) == 403
    assert status({**BROWSER, "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}) == 200


def test_the_printed_link_gives_a_browser_its_cookie_and_leads_on() -> None:
    start, body = ask(OURS, "/enter", query=f"key={KEY.get_secret_value()}")
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert start["status"] == 200
    assert headers["set-cookie"] == f"{KEYS.cookie}={KEY.get_secret_value()}; HttpOnly; Path=/; SameSite=strict"
    assert headers["cache-control"] == "no-store"
    assert b'url=/deployments"' in body["body"]


@pytest.mark.parametrize("query", ["", "key=", "key=" + "s" * 43, "key=%ff%fe", "key", "KEY=" + "k" * 43])
def test_another_link_does_not(query: str) -> None:
    assert status(OURS, "/enter", query=query) == 403


def test_a_server_without_a_page_lets_no_browser_in() -> None:
    alone = Keys(SECRET)
    assert status(OURS, "/enter", query="key=", keys=alone) == 403
    assert status({**OURS, "cookie": f"{alone.cookie}="}, keys=alone) == 401
    assert status(OWNER, keys=alone) == 200
