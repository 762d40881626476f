"""Real HTTP servers that stand in front of others: one that fails on demand, and a proxy that notes what it was asked for."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OWN_HEADERS = {"connection", "transfer-encoding", "content-length", "keep-alive", "host", "authorization"}


class Front:
    """What a front does just now: passes on, or fails in one of the ways that servers and what stands before them have."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.mode = "pass"
        self.authorization = ""
        """The header that every request must carry; empty: none."""
        self.released = threading.Event()
        """Ends requests that hang."""
        self.port = 0


class FrontHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: Front

    def answer(self, status: int, body: bytes, kind: str = "text/html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        front, mode = self.front, self.front.mode
        if mode.isdigit():
            self.answer(int(mode), b"<html>no</html>")
        elif mode == "login page":
            self.answer(200, b"<html>Please log in</html>")
        elif mode == "hang":
            front.released.wait(60)
            self.close_connection = True
        elif mode == "cut":
            self.close_connection = True
        elif front.authorization and self.headers.get("Authorization") != front.authorization:
            self.answer(401, b"You are not authenticated.")
        else:
            self.pass_on(body)

    def pass_on(self, body: bytes) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", self.front.upstream, timeout=60)
        headers = {key: value for key, value in self.headers.items() if key.lower() not in OWN_HEADERS}
        upstream.request(self.command, self.path, body or None, headers)
        reply = upstream.getresponse()
        self.answer(reply.status, reply.read(), reply.headers.get("Content-Type", "application/json"))
        upstream.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815  (http.server's names)

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """A server with this handler on loopback; yields its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def fronted(upstream: int) -> Iterator[Front]:
    """A front before the server at that port."""
    front = Front(upstream)
    with serving(type("ThisFront", (FrontHandler,), {"front": front})) as port:
        front.port = port
        try:
            yield front
        finally:
            front.released.set()


@contextmanager
def recording_proxy() -> Iterator[tuple[int, list[str]]]:
    """A proxy that refuses every request, and notes each: yields its port and the list of what was asked."""
    asked: list[str] = []

    class Recorder(FrontHandler):
        def handle_any(self) -> None:
            asked.append(self.path)
            self.close_connection = True
            self.answer(502, b"this proxy passes nothing on")

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = handle_any  # noqa: N815

    with serving(Recorder) as port:
        yield port, asked
