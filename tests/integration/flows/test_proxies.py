"""Where every HTTP variable names a proxy, Martlet's own servers come up and are used, and the proxy never hears of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fronts import recording_proxy
from tests.support.histories import free_port, is_up

ROOT = Path(__file__).parents[3]
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
FLOW = """
from pathlib import Path
from flows.runner import provide_server
provide_server()
from prefect import flow
from prefect.events import emit_event
from prefect.logging import get_run_logger

@flow
def small() -> int:
    get_run_logger().info("a line for the server")
    emit_event("martlet.tested", {"prefect.resource.id": "martlet"})
    return 7

print("the flow returned", small())
"""


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Variables that send everything to a proxy, and what that was asked for."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "MARTLET_"))}
    for name in ("no_proxy", "NO_PROXY"):
        plain.pop(name, None)
    with recording_proxy() as (port, asked):
        proxies = dict.fromkeys(PROXIES, f"http://127.0.0.1:{port}")
        yield {**plain, **proxies, "MARTLET_HOME": str(tmp_path / "home")}, asked


@pytest.mark.parametrize("all_proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
def test_a_flow_runs_on_martlets_own_server(all_proxy: str, proxied: tuple[dict[str, str], list[str]]) -> None:
    variables, asked = proxied
    variables |= {"all_proxy": all_proxy, "ALL_PROXY": all_proxy}
    command = [sys.executable, "-c", FLOW]
    done = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert "the flow returned 7" in done.stdout, done.stdout + done.stderr
    assert asked == []


def test_the_pages_and_the_worker_come_up(proxied: tuple[dict[str, str], list[str]]) -> None:
    variables, asked = proxied
    prefect, mlflow = free_port(), free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", "ui", "--prefect-port", str(prefect), "--mlflow-port", str(mlflow)], cwd=ROOT,
        env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C stops" in line:
                break
        assert "Ctrl-C stops" in lines[-1], "".join(lines)
        assert is_up(mlflow)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert asked == []
