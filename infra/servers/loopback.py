"""Loopback is never asked through a proxy: the variables that say so to every HTTP library, for this process and its children.

A proxy on another machine would ask its own loopback. Other hosts are asked through the proxy as before.
"""

from collections.abc import Mapping

HOSTS = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = "*"


def loopback_directly(environment: Mapping[str, str]) -> dict[str, str]:
    """`no_proxy` and `NO_PROXY` with loopback added to what the user has there.

    Libraries differ in which spelling they prefer: each keeps its own value, and a missing one takes the other's.
    """
    lower, upper = environment.get("no_proxy", ""), environment.get("NO_PROXY", "")
    return {"no_proxy": with_loopback(lower or upper), "NO_PROXY": with_loopback(upper or lower)}


def with_loopback(value: str) -> str:
    """The list with loopback in it; `*`, which already means every host, counts for some libraries only if it stands alone."""
    hosts = [host.strip() for host in value.split(",") if host.strip()]
    if EVERYWHERE in hosts:
        return EVERYWHERE
    return ",".join([*hosts, *(host for host in HOSTS if host not in hosts)])
