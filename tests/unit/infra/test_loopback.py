"""Loopback is asked directly, and what the user says of other hosts stays."""

import pytest

from infra.servers.loopback import loopback_directly

LOOPBACK = "localhost,127.0.0.1,::1"


@pytest.mark.parametrize(
    ("environment", "lower", "upper"),
    [
        ({}, LOOPBACK, LOOPBACK),
        ({"no_proxy": ".example.org, 10.0.0.1"}, f".example.org,10.0.0.1,{LOOPBACK}", f".example.org,10.0.0.1,{LOOPBACK}"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, f"a,{LOOPBACK}", f"b,{LOOPBACK}"),
        ({"NO_PROXY": "127.0.0.1", "no_proxy": ""}, "127.0.0.1,localhost,::1", "127.0.0.1,localhost,::1"),
        ({"no_proxy": "*"}, "*", "*"),
        ({"no_proxy": LOOPBACK, "NO_PROXY": LOOPBACK}, LOOPBACK, LOOPBACK),
    ],
)
def test_loopback_joins_what_the_user_excepts_in_both_spellings(environment: dict[str, str], lower: str, upper: str) -> None:
    assert loopback_directly(environment) == {"no_proxy": lower, "NO_PROXY": upper}


def test_the_http_libraries_agree_on_what_the_variables_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request

    import httpx
    from botocore.utils import get_environ_proxies
    from requests.utils import should_bypass_proxies
    from websockets.proxy import get_proxy
    from websockets.uri import parse_uri

    for name in ("NO_PROXY", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:1")
    monkeypatch.setenv("all_proxy", "http://proxy.invalid:1")
    for name, value in loopback_directly({}).items():
        monkeypatch.setenv(name, value)
    with httpx.Client() as client:
        for host, is_direct in (("127.0.0.1", True), ("localhost", True), ("mlflow.invalid", False)):
            url = f"http://{host}:4200/api"
            pool = client._transport_for_url(httpx.URL(url))
            assert (pool is client._transport) is is_direct
            assert should_bypass_proxies(url, None) is is_direct
            assert bool(urllib.request.proxy_bypass(f"{host}:4200")) is is_direct
            assert (get_environ_proxies(url) == {}) is is_direct
            assert (get_proxy(parse_uri(f"ws://{host}:4200/")) is None) is is_direct
