"""From the bytes of a table to its text: finds the encoding, and reports what was guessed or replaced."""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from artylyze.errors import UsageError
from artylyze.wording import counted

_SAMPLE = 200_000
"""Bytes of lines with non-ASCII letters that a guess uses."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# How frequent non-ASCII letters are in the languages of an encoding: a letter counts as often as it occurs here. It
# distinguishes Wyspiański (1250) from Wyspiañski (1252), which byte patterns alone cannot.
_WESTERN = "éüöäèáíóñ" * 4 + "çßàêôåãœø" * 3 + "æëâîúïÉÜÖÄÁ" * 2 + "õûùìòÀÇŒØÅÑÓÍ"
_CENTRAL = "áéíóčěšřžłąęő" * 4 + "ýůżćöüśńČŠŽŁ" * 3 + "úźűäÁÉŚ" * 2 + "ťňďđăţşâîŘŻÖÜÚĆ"
_TURKISH = "ışğüöç" * 4 + "âîûİŞÜÖÇ" * 2
_CYRILLIC = "аеоинтсрвлкм" * 5 + "дпуябгзыьчйхжшюцэфщіїєґёъ" * 3 + "АЕОИНТСРВЛКМДПУЯБГЗЧХЖШЮЦЭФЩІЇЄ" * 2
_GREEK = "αοιετσνηυρπκμλς" * 5 + "ωγδχθφβξζψάέήίόύώ" * 3 + "ΑΟΙΕΤΣΝΗΥΡΠΚΜΛΩΓΔΧΘΦΒΞΖΨΆΈΉΊΌΎΏ" * 2
_CHINESE = (
    "的一是不了人在有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然"
    "山水花鸟画图轴卷册书法明宋元唐清代近现作者佚名无款青绿墨竹梅兰菊松鹤虾石白齐张王李江河春夏秋冬风雨雪月云人物仕女版木刻油纸绢本设色"
)
_TRADITIONAL = (
    "的一是不了人在有我他這中大來上國個到說們為子和你地出年山水花鳥畫圖軸卷冊書法明宋元唐清代作"
    "者佚名無款墨竹梅蘭菊松石張王李江河春夏秋冬風雨雪月雲紙本設色千"
)
_JAPANESE = (
    "日本人大一国年中出上時分生行者不詳画絵図富士山景広重北斎歌川喜多麿写楽国芳葛飾東海道五十三"
    "次江戸名所百浮世美人松竹梅花鳥風月雪雨川橋春夏秋冬応挙狩野派屏風掛軸版木作伝明治大正昭和時"
    "代紙本著色水墨六"
)

_SINGLE: Mapping[str, str] = {
    "cp1252": _WESTERN,
    "mac_roman": _WESTERN,
    "cp1250": _CENTRAL,
    "cp1251": _CYRILLIC,
    "cp1253": _GREEK,
    "cp1254": _TURKISH,
    "koi8_r": _CYRILLIC,
    "cp850": _WESTERN,
}
_DOUBLE: Mapping[str, str] = {
    "cp932": _JAPANESE,
    "euc_jp": _JAPANESE,
    "gb18030": _CHINESE,
    "big5": _TRADITIONAL,
    "euc_kr": "",
}

_PRIOR: Mapping[str, float] = {"cp1252": 2, "mac_roman": 1, "cp1250": 1, "cp850": -2}
"""Score that frequent encodings have in advance."""

_NAMES = {
    "cp1252": "Windows-1252",
    "cp1250": "Windows-1250",
    "cp1251": "Windows-1251",
    "cp1253": "Windows-1253",
    "cp1254": "Windows-1254",
    "mac_roman": "Mac Roman",
    "koi8_r": "KOI8-R",
    "cp850": "DOS 850",
    "cp932": "Shift-JIS",
    "euc_jp": "EUC-JP",
    "gb18030": "GB 18030",
    "big5": "Big5",
    "euc_kr": "EUC-KR",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
}


@dataclass(frozen=True)
class Text:
    """An undecoded text.

    Attributes:
        data: its bytes, without a byte order mark.
        encoding: Python's name.
        notes: messages about what was guessed or replaced.
    """

    data: bytes
    encoding: str
    notes: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield its lines with their ends (LF, CR LF or CR, also mixed); invalid bytes become U+FFFD."""
        return io.TextIOWrapper(io.BytesIO(self.data), self.encoding, "replace", newline="")


def decode(data: bytes, name: str, encoding: str | None = None) -> Text:
    """Find the encoding of a text.

    Args:
        data: the text.
        name: of the file, for notes.
        encoding: given by the user; None: by the byte order mark, else UTF-8, else guessed.

    Raises:
        UsageError: for an unknown encoding.
    """
    mark = next(((mark, codec) for mark, codec in _MARKS if data.startswith(mark)), None)
    if encoding is not None:
        codec = _known(encoding)
        if codec in ("utf-16", "utf-32"):
            codec = mark[1] if mark else _utf16(data) or f"{codec}-le"
        data = data.removeprefix(mark[0]) if mark and codec == mark[1] else data
        return Text(data, codec, _bad_bytes(data, codec, name))
    if mark is not None:
        return Text(data.removeprefix(mark[0]), mark[1], _bad_bytes(data.removeprefix(mark[0]), mark[1], name))
    if (wide := _utf16(data)) is not None:
        note = f"{name} was read as {_NAMES[wide]}, without a byte order mark: `encoding` selects another."
        return Text(data, wide, (note,))
    if _decodes(data, "utf-8"):
        return Text(data, "utf-8")
    foreign = [line for line in data.splitlines() if not line.isascii()]
    decoded = [line.decode("utf-8", "replace") for line in foreign]
    bad = sum(line.count("\ufffd") for line in decoded)
    good = sum(not c.isascii() for line in decoded for c in line) - bad
    best = _guess(b"\n".join(foreign)[:_SAMPLE])
    if good >= 2 * bad or (
        good >= bad and best in _SINGLE
    ):  # text in another encoding is hardly ever UTF-8 by accident
        return Text(data, "utf-8", _bad_bytes(data, "utf-8", name))
    words = re.split(r"[\s\",;|]+", foreign[0].decode(best, "replace"))
    example = next((word for word in words if not word.isascii()), "")
    note = (
        f"{name} is not UTF-8 and was read as {_NAMES[best]}, guessed from its letters (such as {example[:40]!r}): if "
        "they are wrong, give another `encoding`."
    )
    return Text(data, best, (note, *_bad_bytes(data, best, name)))


def _known(encoding: str) -> str:
    spelled = encoding.strip().lower()
    spelled = re.sub(r"^(mac|macintosh|mac[-_ ]?roman)$", "mac_roman", spelled)
    spelled = re.sub(r"^(shift[-_ ]?jis|sjis)$", "cp932", spelled)  # what programs write under that name
    try:
        codec = codecs.lookup(spelled)
        b"ab".decode(spelled, "replace")  # some codecs, such as base64, give no text
    except (LookupError, ValueError):
        raise UsageError(
            f"`encoding={encoding!r}`: unknown encoding. Examples: utf-8, utf-16, windows-1252, windows-1250, "
            "mac_roman, shift_jis."
        ) from None
    return codec.name


def _bad_bytes(data: bytes, encoding: str, name: str) -> tuple[str, ...]:
    """Return a note on the lines with bytes that are invalid in the encoding."""
    if _decodes(data, encoding):
        return ()
    text = io.TextIOWrapper(io.BytesIO(data), encoding, "replace", newline="")
    lines = [number for number, line in enumerate(text, 1) if "\ufffd" in line]
    shown = ", ".join(f"{line:,}" for line in lines[:5]) + (", ..." if len(lines) > 5 else "")
    where = f"line {shown}" if len(lines) == 1 else f"{counted(len(lines), 'line')} ({shown})"
    named = {"utf-8": "UTF-8"}.get(encoding, _NAMES.get(encoding, encoding))
    return (f"{name} has bytes that are not {named} on {where}: each was replaced by \ufffd.",)


def _decodes(data: bytes, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    step = 1 << 20
    try:
        for start in range(0, len(data), step):
            decoder.decode(data[start : start + step], final=start + step >= len(data))
    except UnicodeDecodeError:
        return False
    return True


def _utf16(data: bytes) -> str | None:
    """Return the UTF-16 variant of a text without a byte order mark, None if it is not UTF-16.

    Line ends and separators have a zero byte beside them, always on the same side.
    """
    start = data[: 1 << 16]
    start = start[: len(start) // 2 * 2]
    if start.count(0) < len(start) / 20:
        return None
    for encoding, high in (("utf-16-le", start[1::2]), ("utf-16-be", start[0::2])):
        text = start.decode(encoding, "replace")
        ascii_letters = sum(" " <= c <= "~" or c in "\r\n\t" for c in text)
        if "\0" not in text and high.count(0) >= ascii_letters > len(text) / 10 and _decodes(data, encoding):
            return encoding
    return None


def _guess(sample: bytes) -> str:
    """Return the encoding in which non-ASCII letters occur where such letters are likely."""
    scores = {}
    for encoding in (*_SINGLE, *_DOUBLE):
        if encoding in _SINGLE or _decodes(sample, encoding):
            text = sample.decode(encoding, "replace")
            places = [place for place, c in enumerate(text) if not c.isascii()]
            scores[encoding] = sum(_likeness(text, place, encoding) for place in places) + _PRIOR.get(encoding, 0)
    return max(scores, key=lambda encoding: scores[encoding])


def _likeness(text: str, place: int, encoding: str) -> float:
    """Return how likely a non-ASCII letter is at its place."""
    c, before, after = text[place], text[place - 1 : place] or " ", text[place + 1 : place + 2] or " "
    if c == "\ufffd" or unicodedata.category(c) in ("Cc", "Cn", "Co"):
        return -10
    beside_latin = any(near.isascii() and near.isalpha() for near in (before, after))
    if encoding in _DOUBLE:
        return _likeness_of_ideograph(c, encoding, beside_latin=beside_latin)
    if not c.isalpha():
        return _likeness_of_mark(c, before, after)
    usual = _SINGLE[encoding].count(c)
    if not unicodedata.name(c, "").startswith("LATIN"):
        alone = not (before.isalpha() or after.isalpha())
        return -4 if beside_latin or alone else usual or -1
    if c.isupper() and before.islower():
        return -4
    if all(near.isalpha() and _is_vowel(near) == _is_vowel(c) for near in (before, after)):
        return usual - 2.5
    return usual or -1


def _is_vowel(letter: str) -> bool:
    return unicodedata.normalize("NFD", letter)[0].lower() in "aeiouyæœø"


def _likeness_of_mark(c: str, before: str, after: str) -> float:
    """Return how likely a non-letter is between two characters."""
    within = before.isalpha() and after.isalpha()
    if c in "’·":
        return 5 if within else 3 if before.isalpha() else 0
    if within:
        return -4
    opens, closes = c in "“‘„«‚" and not before.isalnum(), c in "”»“" and not before.isspace()
    spaced = c in "–—×" and not before.isalpha() and not after.isalpha()
    behind_a_number = c in "°½¼¾²³" and before.isdigit()
    return 4 if opens or closes or spaced or behind_a_number else 0 if c in "…©®°€£§\u00a0" else -1


def _likeness_of_ideograph(c: str, encoding: str, *, beside_latin: bool) -> float:
    if beside_latin or "\uff61" <= c <= "\uff9f":  # halfwidth kana: hardly ever meant
        return -6
    if "\u3040" <= c <= "\u30ff" or "\uac00" <= c <= "\ud7a3":
        return 8 if encoding in ("cp932", "euc_jp", "euc_kr") else -1
    if not c.isalpha():
        return 0
    return 7 if c in _DOUBLE[encoding] else 1
