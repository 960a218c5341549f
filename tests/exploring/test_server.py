"""The server of an explorer: what it gives, to whom, and what it keeps."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from artylyze.errors import UsageError
from artylyze.exploring.export import ExploreRequest
from artylyze.exploring.reviews import as_dicts, read_decisions
from artylyze.exploring.server import HOST, Server
from artylyze.exploring.serving import folder_of, serve
from tests.catalogues import Silent
from tests.conftest import free_ports
from tests.exploring.museum import jpeg
from tests.exploring.test_export import museum_of_files


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("museum")
    catalog = museum_of_files(folder, 4)
    (folder / "scans/2.jpg").write_bytes(jpeg(2, (3000, 2000)))
    return catalog


@pytest.fixture(scope="module")
def server(catalog: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        _, server = serve(ExploreRequest(catalog, ""), free_ports(1)[0], Silent())
        (folder_of(catalog) / "index.html").write_text("<title>page</title>")
        with server:
            yield server


def ask(
    server: Server, path: str, method: str = "GET", body: Any = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    port = int(server.url.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, None if body is None else json.dumps(body), named)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), data


def token(server: Server) -> str:
    return str(json.loads(ask(server, "/data/index.json")[2])["token"])


def post(server: Server, decisions: Any, **headers: str) -> tuple[int, Any]:
    given = {"Content_Type": "application/json", "X_Artylyze_Token": token(server), **headers}
    status, _, data = ask(server, "/api/decisions", "POST", {"decisions": decisions}, **given)
    return status, json.loads(data)


def test_the_index_says_that_it_is_served(server: Server) -> None:
    index = json.loads(ask(server, "/data/index.json")[2])

    assert index["served"] is True
    assert len(index["token"]) >= 32


def test_files_come_with_their_types_and_headers(server: Server) -> None:
    status, headers, data = ask(server, "/")

    assert (status, data) == (200, b"<title>page</title>")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert ask(server, "/data/thumbs/128/0.jpg")[1]["Content-Type"] == "image/jpeg"
    assert ask(server, "/", "HEAD")[2] == b""


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/data/..%2f..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/data/\\..\\..",
        "/data/index.json%00.html",
        "/data/made.json",
        "/data/inline.js",
        "/data",
        "/nothing.html",
    ],
)
def test_no_path_leads_out_of_the_folder(server: Server, path: str) -> None:
    assert ask(server, path)[0] == 404


def test_a_link_out_of_the_folder_is_not_followed(server: Server, catalog: str) -> None:
    link = folder_of(catalog) / "link.txt"
    link.symlink_to("/etc/hostname")

    assert ask(server, "/link.txt")[0] == 404
    link.unlink()


def test_requests_to_another_host_or_from_another_page_are_refused(server: Server) -> None:
    port = server.url.rstrip("/").rpartition(":")[2]

    assert ask(server, "/data/index.json", Host=f"evil.example:{port}")[0] == 403
    assert ask(server, "/data/index.json", Host=HOST)[0] == 403
    assert ask(server, "/data/index.json", Origin="http://evil.example")[0] == 403
    assert ask(server, "/data/index.json", Host=f"localhost:{port}")[0] == 200


def test_originals_are_given_as_a_browser_shows_them(server: Server) -> None:
    status, headers, data = ask(server, "/api/image/1")
    _, _, large = ask(server, "/api/image/2")

    assert (status, headers["Content-Type"], data) == (200, "image/jpeg", jpeg(1, (300, 200)))
    assert Image.open(io.BytesIO(large)).size == (2048, 1365)
    assert ask(server, "/api/image/4")[0] == 404
    assert ask(server, "/api/image/-1")[0] == 404


def test_an_image_that_is_gone_is_said(server: Server, catalog: str) -> None:
    path = Path(catalog).parent / "scans/3.jpg"
    path.unlink()

    status, _, data = ask(server, "/api/image/3")

    assert (status, json.loads(data)["error"]) == (404, "missing: no such file")


def test_decisions_are_kept_in_the_catalog(server: Server, catalog: str) -> None:
    given = {"image_id": "000000.jpg", "task": "genre", "suggestion": "portrait", "score": 0.5, "decision": "reject"}

    assert post(server, [given, given | {"image_id": "000001.jpg", "row": 1}]) == (200, {"saved": 2})

    kept = as_dicts(read_decisions(catalog))
    assert [(row["image_id"], row["model_id"], row["decision"]) for row in kept] == [
        ("000000.jpg", "model", "reject"),
        ("000001.jpg", "model", "reject"),
    ]
    assert [row["row"] for row in json.loads(ask(server, "/api/decisions")[2])] == [0, 1]


def test_decisions_without_the_token_or_of_another_form_are_refused(server: Server) -> None:
    for wrong in ("wrong", "\xfc", ""):
        assert post(server, [], X_Artylyze_Token=wrong)[0] == 403
    assert post(server, [], Content_Type="text/plain")[0] == 415
    assert post(server, "all")[0] == 400
    assert post(server, [{"image_id": "000000.jpg", "task": "genre", "decision": "perhaps"}])[0] == 400
    status, answer = post(server, [{"image_id": "nothing.jpg", "task": "genre", "decision": "reject"}])
    assert (status, answer["error"]) == (400, "The catalog has no image 'nothing.jpg'.")
    assert ask(server, "/api/other", "POST", {})[0] == 404


def test_a_port_in_use_is_said_with_one_that_is_free(server: Server, catalog: str) -> None:
    port = int(server.url.rstrip("/").rpartition(":")[2])

    with pytest.raises(UsageError, match=rf"`port={port}` is in use. Port \d+ is free"):
        serve(ExploreRequest(catalog, ""), port, Silent())
    with pytest.raises(UsageError, match="from 0 to 65535"):
        serve(ExploreRequest(catalog, ""), 70_000, Silent())
