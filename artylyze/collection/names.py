"""Artists' names as catalogues write them, and the key under which two spellings are one artist.

It knows spelling, not people: transliterations ("Vasiliy" and "Wassily") stay different, and `nearest` suggests what
they may have been.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SIMILAR = (0.7, 0.85)
"""Least Jaro-Winkler similarity of two similar names: of each word of the shorter name to a word of the longer, and of
all its words in the mean. "Vasiliy" has 0.79 to "Wassily"."""

INITIAL = 0.82
"""Similarity of an initial to its name: initials alone do not make names similar."""

# Letters that Unicode does not take apart into a plain letter and its mark.
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i"})

_PHRASE = (
    r"(?:formerly |possibly |probably |doubtfully )?(?:(?:copy|copies|prints?) (?:after|of)|after|attributed(?: to)?"
    r"|circle of|followers? of|workshop of|studio of|school of|manner of|(?:in the )?style of|imitator of|pupil of"
    r"|d'après|atelier de|attribué à|nach|werkstatt(?: des| der| von)?|zugeschrieben|umkreis(?: des| der| von)?)"
)
_BEFORE = re.compile(rf"^\s*{_PHRASE}\s+(?=\S)", re.IGNORECASE)
_BEHIND = re.compile(
    rf"\s*[,(\[]\s*{_PHRASE}\s*[)\]]?\s*$|\s+and (?:studio|workshop|assistants?|others?|other artists)\s*$",
    re.IGNORECASE,
)

# "(Dutch, 1853-1890)", ", 1853-1890", "b. 1930": a year and what follows it is no part of a name.
_DATES = re.compile(
    r"\([^()]*\d{3}[^()]*\)|\[[^\[\]]*\d{3}[^\[\]]*\]"
    r"|[,;]?\s*\b(?:(?:born|died|active|b|d|fl|ca?)\b\.?\s*)*\d{3,4}\b.*$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Artist:
    """The artist that a name means.

    Attributes:
        key: equal for every spelling of one name.
        own: False for works near the artist ("after", "circle of"), which have the artist's key as well.
    """

    key: str
    own: bool = True


def parse(name: str | None) -> Artist | None:
    """Return the artist that a name means; None for an unknown artist (empty, unknown, anonymous).

    Case, accents, punctuation, life dates and the order of words do not matter: "Gogh, Vincent van (1853-1890)" is
    "Vincent van Gogh" and "vincent-van-gogh". Every word counts: "Rembrandt" is not "Rembrandt van Rijn".
    """
    if name is None or _is_unknown_artist(_plain(name)):
        return None
    bare = _BEHIND.sub("", _BEFORE.sub("", name))
    key = _key(_DATES.sub(" ", bare)) or _key(bare)
    return Artist(key, own=bare == name) if key and not _has_no_name(key) else None  # "Ñ/A" as "N/A"


def _key(text: str) -> str:
    return " ".join(sorted(re.findall(r"[^\W_]+", _plain(text))))


def _plain(text: str) -> str:
    """Return a text in small letters without accents."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).translate(_PLAIN)


def nearest(keys: Iterable[str], candidates: Iterable[str]) -> Mapping[str, str]:
    """Return for each key the most similar candidate, if one is similar (`SIMILAR`).

    That is the name whose words are most similar in the mean, then the one with fewest words left over.
    """
    import duckdb

    with duckdb.connect() as database:
        for table, names in (("wanted", keys), ("offered", candidates)):
            database.execute(
                f"CREATE TABLE {table} AS SELECT key, string_split(key, ' ') AS words FROM (SELECT unnest($1) AS key)",
                [sorted(set(names))],
            )
        closest = database.execute(
            f"""
            WITH pairs AS (
                SELECT wanted.key, offered.key AS other, wanted.words, offered.words AS others,
                       len(wanted.words) <= len(offered.words) AS shorter,
                       abs(len(wanted.words) - len(offered.words)) AS over
                FROM wanted, offered
            ), alike AS (
                SELECT key, other, over, list_transform(
                    CASE WHEN shorter THEN words ELSE others END,
                    lambda word: list_max(list_transform(
                        CASE WHEN shorter THEN others ELSE words END,
                        lambda peer: CASE WHEN least(len(word), len(peer)) = 1 THEN {INITIAL} * (word[1] = peer[1])::INT
                                          ELSE jaro_winkler_similarity(word, peer) END))) AS likeness
                FROM pairs
            )
            SELECT key, arg_min(other, (-list_avg(likeness), over, other)) FROM alike
            WHERE list_min(likeness) >= {SIMILAR[0]} AND list_avg(likeness) >= {SIMILAR[1]}
            GROUP BY key ORDER BY key
            """
        ).fetchall()
    return dict(closest)


# How catalogues say that the artist is unknown: in many languages, in any order of words, with additions. A name is
# unknown only if it begins with a word for unknown, or consists of such words and of others that name no person (roles,
# nationalities, centuries): no artist's name does.

# Words are compared without case and accents. Stems, since many languages bend them: unbekannt- is unbekannter too.
_UNKNOWN_STEMS = (
    # English, German, Dutch
    *("unknown", "unidentified", "anonymous", "anonymus", "unrecorded", "unattributed", "unbekannt", "unbek", "anonym"),
    *("onbekend", "anoniem", "ongeidentificeerd", "namenlos"),
    # French, Italian, Spanish, Portuguese, Catalan, Romanian
    *("inconnu", "sconosciut", "ignot", "anonim", "desconocid", "desconhecid", "desconegu", "necunoscut"),
    # Nordic and Baltic languages, Hungarian, Turkish
    *("ukendt", "ukjent", "ukjend", "okand", "oidentifierad", "uidentificeret", "uidentifisert", "opekkt", "othekkt"),
    *("tuntematon", "tuntemattom", "tundmatu", "nezinam", "nezinom", "ismeretlen", "bilinm", "mechul"),
    # Slavic languages, Greek
    *("nieznan", "niezidentyfikowan", "neznam", "neznan", "nepoznat", "neurcen"),
    *("неизвест", "невідом", "невядом", "непознат", "аноним", "анонім", "αγνωστ", "ανωνυμ"),
    # Arabic, Persian, Hebrew
    *("مجهول", "ناشناس", "אלמוני", "אנונימי"),
)
_UNKNOWN = re.compile(rf"^(?:{'|'.join(_UNKNOWN_STEMS)})\w{{0,6}}$")

# Longer names that begin like a word for unknown.
_NAMES = re.compile(r"^(?:ignoti(?:us|ev)|anonymouse|neznamov|neznanov|unbekand)")

_IDEOGRAPHS = re.compile(
    r"佚名|不詳|不详|未詳|未详|不明|無名氏|无名氏|匿名|未知|作者なし|読人知らず|미상|익명|작자불명|未署名"
)

# "not known", "non identifié", "nicht identifiziert", "غير معروف"
_NOT = re.compile(
    r"\b(?:not|non|no|nao|nicht|niet|ikke|inte|ej|nie|ne|sin)\s+(?:yet\s+)?"
    r"(?:known|recorded|identif\w*|identyf\w*|geidentif\w*|bekannt|bekend|kendt|kjent|kand|noto|nota|connu\w*|conocid\w*|conhecid\w*|znan\w*|attribu\w*|determin\w*)\b"
    r"|غير معروف|לא ידוע"
)

_EXACT = frozenset(
    (
        *("", "anon", "none", "null", "nan", "na", "n a", "n n", "nn", "s n", "sn", "k a", "o a", "tbd", "tba"),
        *("nobody", "no artist", "not applicable", "keine angabe", "keine angaben", "ohne angabe", "sans nom"),
        *("sin autor", "unsigned", "unsigniert"),
    )
)

_VARIOUS = frozenset(
    """
    various several multiple verschiedene diverse diversen verscheidene divers plusieurs vari varie diversi varios
    varias разные různi ruzni rozni flere olika forskellige
    """.split()
)

_ROLES = frozenset(
    """
    artist artists artista artistas artisti artiste artistes artisan author authors autor autora autore autori
    autorin auteur auteurs maker makers master masters painter painters photographer photographers sculptor engraver
    printmaker draughtsman draftsman designer creator craftsman craftsperson architect illustrator illuminator
    manufacturer hand hands person name names workshop school individual sitter weaver potter carver publisher
    printer kunstler kunstlerin kunstlern maler malerin meister meisters meistern hersteller fotograf fotografin
    verfasser zeichner zeichnerin bildhauer bildhauerin stecher kupferstecher schule werkstatt urheber kunstenaar
    kunstenaars schilder fotograaf tekenaar meester vervaardiger graveur beeldhouwer peintre peintres maitre
    fabricant photographe sculpteur dessinateur createur ecole atelier pittore pittori maestro maestri scultore
    incisore fotografo disegnatore scuola bottega ambito pintor pintora escultor grabador dibujante escuela taller
    mestre fotografa gravador kunstner kunstnere konstnar konstnarer malare mester mastare tekija taiteilija maalari
    valokuvaaja muvesz festo szerzo sanatci ressam malarz artysta tworca umelec malir slikar umjetnik umetnik
    художник художника автор автора мастер мастера скульптор фотограф гравер школа художниця мастак καλλιτεχνης
    καλλιτεχνη ζωγραφος δημιουργος 作者 作家 画家 فنان الفنان אמן
    """.split()
)

_NATIONS = frozenset(
    """
    african american arab argentine argentinian armenian asian australian austrian austro hungarian belgian bohemian
    brazilian british bulgarian byzantine canadian catalan chilean chinese colombian coptic croatian cuban czech
    danish dutch egyptian english estonian ethiopian european finnish flemish florentine french genoese german greek
    icelandic indian indonesian iranian irish islamic israeli italian japanese javanese jewish korean latin latvian
    lithuanian lombard mexican mongolian moroccan neapolitan nepalese netherlandish nigerian north south east west
    northern southern eastern western central norwegian ottoman persian peruvian polish portuguese roman romanian
    russian scottish serbian sienese sicilian slovak slovene spanish swedish swiss syrian thai tibetan tuscan
    turkish ukrainian umbrian venetian vietnamese welsh deutsch deutscher deutsche franzosisch franzosischer
    italienisch italienischer niederlandisch niederlandischer francais francaise italien italienne allemand flamand
    italiano francese tedesco espanol frances hollands vlaams frans duits
    """.split()
)

_BESIDES = frozenset(
    """
    a an the by of after to from in or and ca c circa century centuries cent early mid late active about dynasty
    period formerly possibly probably perhaps copy copies attributed circle follower followers manner style studio
    imitator pupil print prints ein eine einer eines einem der des dem den von vom nach um jahrhundert jh kopie
    zugeschrieben umkreis nachfolger een van naar door uit eeuw toegeschreven aan le la les un une d de du l apres
    par siecle copie attribue il lo i gli uno una da di del della secolo attribuito copia el los segun por siglo
    atribuido en och av efter o do seculo
    """.split()
)
_NUMBER = re.compile(r"^\d+(?:st|nd|rd|th|e|er|eme|o|a)?$|^[ivx]+$")


def _is_unknown_artist(folded: str) -> bool:
    """Whether a name is that of an unknown artist.

    Args:
        folded: the name in small letters without accents, with its punctuation.
    """
    if _IDEOGRAPHS.search(unicodedata.normalize("NFC", folded)):
        return True
    text = _NOT.sub(" unknown ", folded)
    words = _words(text)
    if _are_unknown(words):
        return True
    first = next((word for word in words if word not in _BESIDES), "")
    if _is_unknown(first):
        return True
    return _are_unknown(_words(re.split(r"[,;:(\[/|]| [-\u2013\u2014] ", text)[0]))


def _has_no_name(key: str) -> bool:
    """Whether no word of a key is a name."""
    return _are_unknown(key.split())


def _are_unknown(words: list[str]) -> bool:
    if " ".join(words) in _EXACT:
        return True
    if not all(_is_no_name(word) for word in words):
        return False
    some = any(_is_unknown(word) or word in _VARIOUS for word in words)
    return some or (words == ["anon", *words[1:]] and len(words) > 1)


def _is_no_name(word: str) -> bool:
    known = word in _ROLES or word in _NATIONS or word in _BESIDES or word in _VARIOUS or word == "anon"
    return known or _is_unknown(word) or _NUMBER.match(word) is not None


def _is_unknown(word: str) -> bool:
    return _UNKNOWN.match(word) is not None and _NAMES.match(word) is None


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)
