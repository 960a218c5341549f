from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.errors import UsageError
from artylyze.tables.text_encoding import Text, decode

WESTERN = "id,artist,title\r\n0,Nuñez,El niño – “azul”\r\n1,Dürer,Hände\r\n2,Gérôme,L’été\r\n"
CENTRAL = "id,artist,title\r\n0,Čapek,Květy\r\n1,Stanisław Wyspiański,Święto\r\n"
JAPANESE = "id,artist,title\r\n3,葛飾北斎,富嶽三十六景\r\n"
CYRILLIC = "id,artist,title\r\n1,Репин Илья,Бурлаки на Волге\r\n"


def text(found: Text) -> str:
    return "".join(found.lines())


@pytest.mark.parametrize(
    ("content", "encoding", "named"),
    [
        (WESTERN, "cp1252", "Windows-1252"),
        (WESTERN, "mac_roman", "Mac Roman"),
        (CENTRAL, "cp1250", "Windows-1250"),
        (JAPANESE, "cp932", "Shift-JIS"),
        (JAPANESE, "euc_jp", "EUC-JP"),
        (CYRILLIC, "cp1251", "Windows-1251"),
        (CYRILLIC, "koi8_r", "KOI8-R"),
        ("id,title\n1,齐白石 虾 水墨\n", "gb18030", "GB 18030"),
        ("id,title\n1,김홍도 씨름\n", "euc_kr", "EUC-KR"),
        ("id,title\n1,Νικόλαος Γύζης\n", "cp1253", "Windows-1253"),
        ("id,title\n1,Osman Hamdi, Kaplumbağa Terbiyecisi ışık\n", "cp1254", "Windows-1254"),
    ],
)
def test_an_encoding_is_recognised_by_its_letters_and_said(content: str, encoding: str, named: str) -> None:
    found = decode(content.encode(encoding), "objects.csv")
    assert text(found) == content
    (note,) = found.notes
    assert f"read as {named}, guessed" in note
    assert "`encoding`" in note


@pytest.mark.parametrize("end", ["le", "be"])
@pytest.mark.parametrize("content", [WESTERN, CENTRAL, JAPANESE, CYRILLIC])
def test_utf16_is_read_with_and_without_a_mark(content: str, end: str) -> None:
    data = content.encode(f"utf-16-{end}")
    assert text(decode(("\ufeff" + content).encode(f"utf-16-{end}"), "x")) == content
    found = decode(data, "objects.csv")
    assert text(found) == content
    assert "objects.csv was read as UTF-16, without a byte order mark" in found.notes[0]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf8_is_no_guess(mark: str) -> None:
    found = decode((mark + WESTERN + JAPANESE).encode(), "x")
    assert (text(found), found.notes) == (WESTERN + JAPANESE, ())


def test_a_few_stray_bytes_do_not_garble_the_rest_of_a_utf8_table() -> None:
    stray = WESTERN.encode().replace("Hände".encode(), b"H\xe4nde") + "3,Ōkyo,松\n".encode() + b"4,x\x80,y\n"
    found = decode(stray, "objects.csv")
    assert text(found) == WESTERN.replace("Hände", "H\ufffdnde") + "3,Ōkyo,松\n4,x\ufffd,y\n"
    assert found.notes == ("objects.csv has bytes that are not UTF-8 on 2 lines (3, 6): each was replaced by \ufffd.",)


def test_a_stray_zero_byte_does_not_make_it_utf16() -> None:
    assert decode(b"id,title\r\n0,a\x00b\r\n1,c\r\n", "x").encoding == "utf-8"


@pytest.mark.parametrize(
    ("asked", "encoding"),
    [
        ("windows-1252", "cp1252"),
        ("Mac Roman", "mac_roman"),
        ("macintosh", "mac_roman"),
        ("latin-1", "latin-1"),
        ("UTF-8", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-16", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
    ],
)
def test_the_user_may_name_the_encoding(asked: str, encoding: str) -> None:
    content = "id,title\n1,Dürer\n"
    found = decode(content.encode(encoding), "x", asked)
    assert (text(found).removeprefix("\ufeff"), found.notes) == (content, ())


def test_shift_jis_is_what_windows_writes_under_that_name() -> None:
    assert text(decode("①髙".encode("cp932"), "x", "Shift_JIS")) == "①髙"


def test_bytes_that_the_named_encoding_does_not_have_are_said() -> None:
    found = decode("a\nDürer\n".encode("cp1252"), "objects.csv", "utf-8")
    assert text(found) == "a\nD\ufffdrer\n"
    assert "objects.csv has bytes that are not UTF-8 on line 2" in found.notes[0]


@pytest.mark.parametrize("asked", ["klingon", "", "base64", "rot13"])
def test_an_encoding_that_there_is_not_is_refused(asked: str) -> None:
    with pytest.raises(UsageError, match=r"`encoding=.*Examples: utf-8, utf-16, windows-1252"):
        decode(b"a", "x", asked)


@given(st.binary(max_size=300))
def test_any_bytes_are_some_text(data: bytes) -> None:
    "".join(decode(data, "x").lines())


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_any_utf8_text_is_read_as_it_is(content: str) -> None:
    assert text(decode(content.encode(), "x")) == content.removeprefix("\ufeff")
