"""Servers that misbehave, on loopback sockets: whatever they do, an image ends, and its error says what happened."""

from __future__ import annotations

import gzip
import http.client
import io
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from artylyze.errors import ErrorCode, ImageError, InputError
from artylyze.storage import fetch, web
from artylyze.storage.web import Limits, get_http
from tests.storage.servers import HEAD, Behaviour, Server, answer, drip, reset, say


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image has a second, and retries wait for nothing."""
    monkeypatch.setattr(web, "limits", lambda: Limits(seconds=1))
    monkeypatch.setattr(web, "BACKOFF", 0.0)


def error_of(url: str, max_bytes: int = 10**6) -> ImageError:
    with pytest.raises(ImageError) as caught:
        get_http(f"{url}/a.jpg", max_bytes)
    return caught.value


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (drip(HEAD + b"Content-Length: 3000\r\n\r\n"), r"timed out after 1 s: \d+ of 3,000 bytes"),
        (drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), r"timed out after 1 s: \d+ bytes"),
        (drip(HEAD + b"X-Endless: "), r"no answer within 1 s, 1 try"),
        (drip(b""), r"no answer within 1 s, 1 try"),
        (lambda _, ended: ended.wait(), r"no answer within 1 s, 1 try"),
    ],
    ids=["content", "chunks", "headers", "status line", "nothing"],
)
def test_an_answer_that_never_ends_is_given_up(
    serve: Callable[..., Server], hurried: None, behaviour: Behaviour, said: str
) -> None:
    error = error_of(serve(behaviour).url)
    assert error.code is ErrorCode.UNREACHABLE
    with pytest.raises(ImageError, match=said):
        raise error


def test_a_large_file_that_comes_fast_enough_may_take_longer(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "limits", lambda: Limits(seconds=1, bytes_per_second=1_000))
    body = bytes(15_000)

    def behave(link: socket.socket, ended: threading.Event) -> None:
        link.sendall(answer(body)[: -len(body)])
        for _ in range(15):
            link.sendall(body[:1000])
            ended.wait(0.1)

    assert len(get_http(f"{serve(behave).url}/a.jpg", 10**6).data) == len(body)


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (reset, "Connection reset by peer after 5 tries"),
        (say(answer(b"half")[:-2]), "the connection broke off after 5 tries"),
        (say(answer(status=503)), "HTTP 503 after 5 tries"),
        (say(b"hello\r\n\r\n"), "the answer is not HTTP after 5 tries"),
    ],
    ids=["reset", "broken off", "503", "not http"],
)
def test_a_transient_error_is_tried_again_and_counted(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, said: str
) -> None:
    monkeypatch.setattr(web, "BACKOFF", 0.0)
    server = serve(behaviour)
    error = error_of(server.url)
    assert (error.code, error.detail) == (ErrorCode.UNREACHABLE, said)
    assert len(server.requests) == web.TRIES


def test_a_reset_in_the_middle_costs_nothing_if_the_next_try_holds(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "BACKOFF", 0.0)
    server = serve(say(answer(b"image")[:-2], answer(b"image")))
    assert get_http(f"{server.url}/a.jpg", 10).data == b"image"


@pytest.mark.parametrize("status", [400, 404, 403, 451, 501])
def test_what_another_try_would_not_mend_is_asked_once(serve: Callable[..., Server], status: int) -> None:
    server = serve(say(answer(status=status)))
    error_of(server.url)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    waits: list[float] = []
    monkeypatch.setattr("artylyze.storage.web.time.sleep", waits.append)
    server = serve(say(answer(status=status, Retry_After="7"), answer(status=status), answer(b"image")))
    assert get_http(f"{server.url}/a.jpg", 10).data == b"image"
    assert waits == [7.0, 2 * web.BACKOFF]


def test_a_server_that_asks_to_wait_longer_than_an_image_may_take_is_not_pressed(serve: Callable[..., Server]) -> None:
    server = serve(say(answer(status=429, Retry_After="3600")))
    assert error_of(server.url).detail == "HTTP 429 after 1 try: the server asks to wait 3,600 s"
    assert len(server.requests) == 1


@pytest.mark.parametrize("value", ["soon", "-5", "", "Fri, 32 Foo 2020"])
def test_a_retry_after_that_is_none_is_passed_over(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr(web, "BACKOFF", 0.0)
    server = serve(say(answer(status=503, Retry_After=value), answer(b"image")))
    assert get_http(f"{server.url}/a.jpg", 10).data == b"image"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://host/a.jpg", "data:image/png;base64,AA", "s3://b/k"])
def test_a_redirect_leads_to_the_web_only(serve: Callable[..., Server], target: str) -> None:
    error = error_of(serve(say(answer(status=302, Location=target))).url)
    assert error.detail == f"redirected to {target}, which is not a web address"


def test_redirects_are_bounded(serve: Callable[..., Server]) -> None:
    server = serve(say(answer(status=301, Location="/again")))
    assert error_of(server.url).detail == "more than 5 redirects"
    assert len(server.requests) == web.REDIRECTS + 1


def test_an_answer_that_unpacks_to_more_than_the_limit_is_too_large(serve: Callable[..., Server]) -> None:
    packed = gzip.compress(bytes(20_000_000))
    server = serve(say(answer(packed, Content_Encoding="gzip")))
    error = error_of(server.url, 10**6)
    assert error.code is ErrorCode.TOO_LARGE
    assert int(error.detail.split()[0].replace(",", "")) < 2 * 10**6


def test_an_answer_that_is_packed_is_unpacked(serve: Callable[..., Server]) -> None:
    server = serve(say(answer(gzip.compress(b"image"), Content_Encoding="gzip")))
    assert get_http(f"{server.url}/a.jpg", 100).data == b"image"


def test_servers_learn_who_asks(serve: Callable[..., Server]) -> None:
    server = serve(say(answer(b"image")))
    get_http(f"{server.url}/a.jpg", 10)
    head = http.client.parse_headers(io.BytesIO(server.requests[0].partition(b"\r\n")[2]))
    assert head["User-Agent"].startswith("artylyze/")
    assert "(+https://" in head["User-Agent"]


def test_one_host_gets_so_many_requests_at_a_time(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTYLYZE_HTTP_CONNECTIONS", "3")

    def behave(link: socket.socket, ended: threading.Event) -> None:
        ended.wait(0.03)
        link.sendall(answer(b"image"))

    server = serve(behave)
    threads = [threading.Thread(target=fetch, args=(f"{server.url}/{n}.jpg",)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 12
    assert server.most_open <= 3


def test_to_wait_for_other_images_of_the_host_is_not_counted(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "limits", lambda: Limits(seconds=2, connections=1))

    def behave(link: socket.socket, ended: threading.Event) -> None:
        ended.wait(0.5)
        link.sendall(answer(b"image"))

    server, done = serve(behave), []
    threads = [threading.Thread(target=lambda n=n: done.append(fetch(f"{server.url}/{n}.jpg"))) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 5


@pytest.mark.parametrize("value", ["soon", "0", "-1", "1e9"])
@pytest.mark.parametrize("variable", ["ARTYLYZE_HTTP_SECONDS", "ARTYLYZE_HTTP_CONNECTIONS"])
def test_a_limit_that_is_no_number_is_an_error_of_the_run(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=f"{variable}={value}: give a number"):
        fetch("http://127.0.0.1:1/a.jpg")


def test_the_environment_sets_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTYLYZE_HTTP_SECONDS", "1.5")
    monkeypatch.setenv("ARTYLYZE_HTTP_CONNECTIONS", "2")
    assert web.limits() == Limits(seconds=1.5, connections=2)


def test_the_clock_runs_over_tls_too(
    serve: Callable[..., Server], hurried: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = serve(drip(HEAD + b"Content-Length: 3000\r\n\r\n"), context)
    assert "of 3,000 bytes" in error_of(f"https://127.0.0.1:{server.port}").detail
    monkeypatch.setattr(web, "limits", Limits)
    server = serve(say(answer(b"image")), context)
    assert get_http(f"https://127.0.0.1:{server.port}/a.jpg", 10).data == b"image"


def self_signed(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1 in one file."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    return path
