"""Servers on loopback sockets that misbehave as they are asked to."""

from __future__ import annotations

import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

HEAD = b"HTTP/1.1 200 OK\r\n"

Behaviour = Callable[[socket.socket, threading.Event], None]


@dataclass
class Server:
    """Answers every connection as `behaviour` does."""

    behaviour: Behaviour
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving() -> Iterator[Callable[..., Server]]:
    """Yield what starts servers, and end them."""
    servers: list[tuple[Server, socket.socket, list[threading.Thread]]] = []

    def start(behaviour: Behaviour, context: ssl.SSLContext | None = None) -> Server:
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        server = Server(behaviour, listener.getsockname()[1])
        lock = threading.Lock()

        def answer(connection: socket.socket) -> None:
            with suppress(OSError), context.wrap_socket(connection, True) if context else connection as link:
                server.requests.append(link.recv(65536))
                with lock:
                    server.open += 1
                    server.most_open = max(server.most_open, server.open)
                try:
                    behaviour(link, server.ended)
                finally:
                    with lock:
                        server.open -= 1

        def accept() -> None:
            with suppress(OSError):
                while True:
                    thread = threading.Thread(target=answer, args=(listener.accept()[0],))
                    threads.append(thread)
                    thread.start()

        threads = [threading.Thread(target=accept)]
        threads[0].start()
        servers.append((server, listener, threads))
        return server

    yield start
    for server, listener, threads in servers:
        server.ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join()


def answer(body: bytes = b"", status: int = 200, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def drip(start: bytes, drop: bytes = b"x") -> Behaviour:
    """Sends `start`, and then a drop every few milliseconds for ever."""

    def behave(link: socket.socket, ended: threading.Event) -> None:
        link.sendall(start)
        while not ended.wait(0.01):
            link.sendall(drop)

    return behave


def say(*answers: bytes) -> Behaviour:
    """Gives the answers in turn, the last of them for ever."""
    left = itertools.chain(answers, itertools.repeat(answers[-1]))
    return lambda link, _: link.sendall(next(left))


def reset(link: socket.socket, _: threading.Event) -> None:
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
