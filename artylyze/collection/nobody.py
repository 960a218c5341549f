"""How catalogues say that nobody knows the artist: in many languages, in any order of words, with what is added.

It knows words, not people. A name is nobody's only if it begins with a word for unknown, or consists of such words and
of others that name no person (roles, nationalities, centuries): no artist's name does.
"""

from __future__ import annotations

import re
import unicodedata

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


def is_nobody(folded: str) -> bool:
    """Tell that a name names nobody.

    Args:
        folded: the name in small letters without accents, with its punctuation.
    """
    if _IDEOGRAPHS.search(unicodedata.normalize("NFC", folded)):
        return True
    text = _NOT.sub(" unknown ", folded)
    words = _words(text)
    if _only_says_unknown(words):
        return True
    first = next((word for word in words if word not in _BESIDES), "")
    if _is_unknown(first):
        return True
    return _only_says_unknown(_words(re.split(r"[,;:(\[/|]| [-\u2013\u2014] ", text)[0]))


def only_says_nobody(key: str) -> bool:
    """Tell that no word of a key is a name."""
    return _only_says_unknown(key.split())


def _only_says_unknown(words: list[str]) -> bool:
    if " ".join(words) in _EXACT:
        return True
    if not all(_names_nobody(word) for word in words):
        return False
    some = any(_is_unknown(word) or word in _VARIOUS for word in words)
    return some or (words == ["anon", *words[1:]] and len(words) > 1)


def _names_nobody(word: str) -> bool:
    known = word in _ROLES or word in _NATIONS or word in _BESIDES or word in _VARIOUS or word == "anon"
    return known or _is_unknown(word) or _NUMBER.match(word) is not None


def _is_unknown(word: str) -> bool:
    return _UNKNOWN.match(word) is not None and _NAMES.match(word) is None


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)
