"""An HTTP proxy in front of an S3 service that misbehaves on purpose: cuts connections, answers with errors, or not at all."""

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Fault:
    """What happens to a request instead of what it asked for."""

    kind: str
    """`cut`: the connection is reset after `bytes` of the request's body; `cut-answer`: of the answer's; `stall`: no answer;
    `status`: an answer with this status and S3 code."""
    bytes: int = 0
    status: int = 500
    code: str = "InternalError"


Chooser = Callable[[str, str], Fault | None]
"""Gets a request's method and path; None: let it pass."""


class Handler(BaseHTTPRequestHandler):
    """Passes one request on, unless a fault is chosen for it."""

    protocol_version = "HTTP/1.1"
    server: "FaultyProxy"

    def answer(self) -> None:
        """Serves any method."""
        self.server.requests.append((self.command, self.path))
        fault = self.server.choose(self.command, self.path)
        length = int(self.headers.get("Content-Length") or 0)
        if fault and fault.kind == "cut":
            self.rfile.read(min(fault.bytes, length))
            return self.reset()
        body = self.rfile.read(length)
        if fault and fault.kind == "stall":
            self.server.over.wait()
            return self.reset()
        if fault and fault.kind == "status":
            words = f"<?xml version='1.0'?><Error><Code>{fault.code}</Code><Message>on purpose</Message></Error>".encode()
            return self.send(fault.status, {"Content-Type": "application/xml"}, words)
        return self.forward(body, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def forward(self, body: bytes, fault: Fault | None) -> None:
        """Has the service answer, and passes the answer on."""
        upstream = http.client.HTTPConnection(self.server.host, self.server.service_port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "expect")}
        upstream.request(self.command, self.path, body or None, headers)
        got = upstream.getresponse()
        data = got.read()
        kept = {name: value for name, value in got.getheaders()
                if name.lower() not in ("connection", "transfer-encoding", "content-length")}  # fmt: skip
        if self.command == "HEAD" and got.getheader("Content-Length"):
            kept["Content-Length"] = str(got.getheader("Content-Length"))
        upstream.close()
        self.send(got.status, kept, data, cut=fault.bytes if fault and fault.kind == "cut-answer" else None)

    def send(self, status: int, headers: dict[str, str], body: bytes, cut: int | None = None) -> None:
        """Sends an answer; if it is to be cut, that many bytes of its body."""
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.reset()

    def reset(self) -> None:
        """Ends the connection without a goodbye."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass


class FaultyProxy(ThreadingHTTPServer):
    """The proxy; `choose` may be changed at any time."""

    daemon_threads = True

    def __init__(self, service: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        parts = urlsplit(service)
        self.host, self.service_port = str(parts.hostname), int(parts.port or 80)
        self.choose: Chooser = lambda _method, _path: None
        self.requests: list[tuple[str, str]] = []
        self.over = threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that was cut on purpose is no error."""


@contextmanager
def faulty_proxy(service: str) -> Iterator[FaultyProxy]:
    """A proxy in front of a service, until the end of the block."""
    proxy = FaultyProxy(service)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        proxy.shutdown()
        proxy.server_close()
        thread.join()
