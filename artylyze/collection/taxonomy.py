"""Genres and styles of paintings: canonical terms, the other ways they are written, and their vocabulary URIs.

The terms are those of WikiArt and of museum catalogues. A URI of the Getty Art & Architecture Thesaurus (AAT) is given
only where public material pairs it with the term, and `Term.checked` names that material; otherwise both are None.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_AAT = "http://vocab.getty.edu/aat/"
_VAN_GOGH = "github.com/vangoghworldwide/linkedart README.md at 0040492, table of subject types"
_ARTNOM = "github.com/whistlegraph/aesthetic-computer system/scripts/import-artnom.mjs at 6b8934e, list CATEGORIES"


@dataclass(frozen=True)
class Term:
    """One term of a vocabulary.

    `name` is the form that artylyze writes; `synonyms` are other spellings, plain forms in other languages included;
    `uri` identifies the concept in the AAT, and `checked` says where that pairing was read (both or neither).
    """

    name: str
    synonyms: tuple[str, ...] = ()
    uri: str | None = None
    checked: str | None = None

    def __post_init__(self) -> None:
        if not _key(self.name):
            raise ValueError("the name of a term needs letters")
        if (self.uri is None) != (self.checked is None):
            raise ValueError(f"{self.name}: a URI must say where it was checked, and nothing else may")


def normalise(task: str, text: str) -> Term | None:
    """The term that `text` means for `task` ("genre" or "style"), None if it is not in the vocabulary.

    Case, accents, punctuation, underscores and white space do not matter. A task without a vocabulary has
    no terms.
    """
    return _INDEX.get(task, {}).get(_key(text))


def _key(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if c.isalnum())


def _index(terms: tuple[Term, ...]) -> Mapping[str, Term]:
    index: dict[str, Term] = {}
    for term in terms:
        for form in (term.name, *term.synonyms):
            if index.setdefault(_key(form), term) is not term:
                raise ValueError(f"{form!r} belongs to {index[_key(form)].name!r} and to {term.name!r}")
    return MappingProxyType(index)


def _aat(number: int, checked: str) -> tuple[str, str]:
    return f"{_AAT}{number}", checked


GENRES: tuple[Term, ...] = (
    Term(
        "portrait",
        ("portraits", "portrait painting", "Porträt", "Bildnis", "portraiture", "ritratto", "portret"),
        *_aat(300015637, _VAN_GOGH),
    ),
    Term(
        "self-portrait",
        ("self-portraits", "Selbstporträt", "Selbstbildnis", "autoportrait", "autoritratto"),
        *_aat(300124534, _VAN_GOGH),
    ),
    Term(
        "landscape",
        ("landscapes", "landscape painting", "Landschaft", "Landschaftsmalerei", "paysage", "paesaggio"),
        *_aat(300015636, _VAN_GOGH),
    ),
    Term(
        "cityscape",
        (
            "cityscapes",
            "townscape",
            "townscapes",
            "veduta",
            "vedute",
            "Stadtansicht",
            "vue urbaine",
            "paesaggio urbano",
        ),
        *_aat(300015571, _VAN_GOGH),
    ),
    Term(
        "marine painting",
        ("marina", "marine", "seascape", "seascapes", "marine art", "Seestück", "Marinemalerei"),
        *_aat(300117546, _VAN_GOGH),
    ),
    Term(
        "still life",
        (
            "still lifes",
            "still lives",
            "still life painting",
            "Stillleben",
            "Stilleben",
            "nature morte",
            "natura morta",
        ),
        *_aat(300015638, _VAN_GOGH),
    ),
    Term(
        "genre painting",
        ("genre", "genre scene", "genre scenes", "genre works", "Genremalerei", "Genrebild", "scène de genre"),
        *_aat(300139140, _VAN_GOGH),
    ),
    Term(
        "nude painting",
        ("nude", "nudes", "nu", "Akt", "Aktmalerei", "nudo"),
        *_aat(300189568, _VAN_GOGH),
    ),
    Term(
        "animal painting",
        (
            "animal",
            "animals",
            "animal paintings",
            "wildlife painting",
            "Tiermalerei",
            "Tierstück",
            "peinture animalière",
        ),
    ),
    Term("interior", ("interiors", "interior view", "interior views", "Interieur")),
    Term("flower painting", ("flowers", "flower still life", "Blumenstück", "Blumenmalerei", "peinture de fleurs")),
    Term("bird-and-flower painting", ("bird and flower painting", "kachō-ga", "kacho-e")),
    Term("abstract painting", ("abstract", "abstract art", "abstraction", "abstrakte Malerei", "peinture abstraite")),
    Term(
        "religious painting",
        ("religious", "religious art", "religiöse Malerei", "peinture religieuse", "pittura sacra"),
    ),
    Term("history painting", ("historical painting", "Historienmalerei", "Historienbild", "peinture d'histoire")),
    Term("mythological painting", ("mythology", "mythological", "mythologische Malerei", "peinture mythologique")),
    Term("allegorical painting", ("allegory", "allegorical", "Allegorie", "allégorie", "allegoria")),
    Term("battle painting", ("battle scene", "battle", "Schlachtenmalerei", "Schlachtenbild", "peinture de bataille")),
    Term("literary painting", ("literary",)),
    Term("symbolic painting", ("symbolic",)),
    Term("figurative", ("figurative painting", "figure painting", "figures", "Figurenmalerei")),
    Term(
        "sketch and study",
        (
            "sketch",
            "sketches",
            "study",
            "studies",
            "sketch-and-study",
            "Skizze",
            "Studie",
            "esquisse",
            "étude",
            "schizzo",
        ),
    ),
    Term("illustration", ("illustrations", "book illustration", "illustrazione")),
    Term("design", ("designs", "ornament", "decorative design", "Entwurf")),
    Term("poster", ("posters", "Plakat", "affiche", "manifesto")),
    Term("caricature", ("caricatures", "Karikatur", "caricatura")),
    Term("capriccio", ("capricci", "architectural fantasy")),
    Term("vanitas", ("vanitas still life",)),
    Term("icon", ("icons", "Ikone", "icône", "icona")),
    Term("miniature", ("miniatures", "Miniatur", "miniatura")),
    Term("calligraphy", ("Kalligraphie", "calligraphie", "calligrafia")),
    Term("mural", ("mural painting", "wall painting", "Wandmalerei", "peinture murale")),
    Term("cloudscape", ("cloudscapes", "sky study")),
    Term("pastorale", ("pastoral", "pastoral scene")),
    Term("veduta ideata", ("ideal view",)),
    Term("tronie", ("tronies",)),
)

STYLES: tuple[Term, ...] = (
    Term("Byzantine", ("Byzantine art", "byzantinisch", "byzantin", "bizantino")),
    Term("Romanesque", ("Romanesque art", "romanisch", "Romanik")),
    Term("Gothic", ("Gothic art", "Gotik", "gotisch", "gothique", "gotico")),
    Term("International Gothic", ("International style (Gothic)",)),
    Term("Proto-Renaissance", ("Proto Renaissance",)),
    Term("Early Renaissance", ("Frührenaissance", "première Renaissance", "primo Rinascimento")),
    Term("High Renaissance", ("Hochrenaissance", "haute Renaissance", "alto Rinascimento")),
    Term("Northern Renaissance", ("Renaissance (Northern)",)),
    Term(
        "Mannerism",
        ("Mannerism (Late Renaissance)", "Late Renaissance", "Mannerist", "Manierismus", "maniérisme", "manierismo"),
    ),
    Term("Baroque", ("Barock", "barocco", "barok", "Baroque art")),
    Term("Tenebrism", ("tenebrismo", "ténébrisme")),
    Term("Dutch Golden Age", ("Golden Age (Dutch)",)),
    Term("Rococo", ("Rokoko", "rococò")),
    Term("Neoclassicism", ("Neo-Classicism", "Neoclassical", "Klassizismus", "néoclassicisme", "neoclassicismo")),
    Term("Romanticism", ("Romantic", "Romantik", "romantisme", "romanticismo")),
    Term("Academicism", ("Academic art", "Academism", "académisme")),
    Term("Realism", ("Realist", "Realismus", "réalisme", "realismo")),
    Term("Pre-Raphaelite", ("Pre-Raphaelites", "Pre-Raphaelite Brotherhood", "Pre-Raphaelitism", "Präraffaeliten")),
    Term("Orientalism", ("Orientalist", "Orientalismus", "orientalisme")),
    Term("Naturalism", ("Naturalist", "Naturalismus", "naturalisme")),
    Term("Luminism", ("Luminist",)),
    Term(
        "Impressionism",
        ("Impressionist", "Impressionismus", "impressionnisme", "impressionismo"),
        *_aat(300021503, _ARTNOM),
    ),
    Term(
        "Post-Impressionism",
        (
            "Post Impressionist",
            "Postimpressionismus",
            "Nachimpressionismus",
            "post-impressionnisme",
            "postimpressionismo",
        ),
        *_aat(300021508, _ARTNOM),
    ),
    Term("Neo-Impressionism", ("Neoimpressionismus", "néo-impressionnisme")),
    Term("Pointillism", ("Pointillist", "Pointillismus", "pointillisme", "puntinismo")),
    Term("Divisionism", ("Divisionismus", "divisionnisme", "divisionismo")),
    Term("Cloisonnism", ("cloisonnisme",)),
    Term("Symbolism", ("Symbolist", "Symbolismus", "symbolisme", "simbolismo")),
    Term("Art Nouveau", ("Art Nouveau (Modern)", "Jugendstil", "stile Liberty")),
    Term("Tonalism", ("Tonalist",)),
    Term("Naïve Art", ("Naive Art (Primitivism)", "Naive Art", "Primitivism", "naive Kunst", "art naïf", "arte naïf")),
    Term("Ukiyo-e", ("ukiyo e", "ukiyoe", "浮世絵")),
    Term("Shin-hanga", ("shin hanga",)),
    Term("Japonism", ("Japonisme", "Japonismus")),
    Term("Fauvism", ("Fauvist", "Fauve", "Fauvismus", "fauvisme", "fauvismo")),
    Term("Expressionism", ("Expressionist", "Expressionismus", "expressionnisme", "espressionismo")),
    Term("Cubism", ("Cubist", "Kubismus", "cubisme", "cubismo"), *_aat(300021495, _ARTNOM)),
    Term("Analytical Cubism", ("Analytic Cubism", "analytischer Kubismus", "cubisme analytique")),
    Term("Synthetic Cubism", ("synthetischer Kubismus", "cubisme synthétique")),
    Term("Cubo-Futurism", ("Kubofuturismus",)),
    Term("Orphism", ("Orphic Cubism", "Orphismus", "orphisme")),
    Term("Futurism", ("Futurist", "Futurismus", "futurisme", "futurismo")),
    Term("Rayonism", ("Rayonnism",)),
    Term("Suprematism", ("Suprematismus", "suprématisme")),
    Term("Constructivism", ("Konstruktivismus", "constructivisme", "costruttivismo")),
    Term("Neoplasticism", ("Neo-Plasticism", "De Stijl", "néoplasticisme")),
    Term("Dada", ("Dadaism", "Dadaismus", "dadaïsme")),
    Term("Metaphysical Art", ("pittura metafisica", "Metaphysical painting")),
    Term("Surrealism", ("Surrealist", "Surrealismus", "surréalisme", "surrealismo"), *_aat(300021512, _ARTNOM)),
    Term("Magic Realism", ("Magical Realism", "magischer Realismus")),
    Term("New Objectivity", ("Neue Sachlichkeit",)),
    Term("Art Deco", ("Art Déco",)),
    Term("Regionalism", ("American Regionalism",)),
    Term("Social Realism", ("sozialer Realismus",)),
    Term("Socialist Realism", ("sozialistischer Realismus",)),
    Term("Muralism", ("Mexican Muralism", "muralismo")),
    Term("Abstract Art", ("Abstractionism", "abstract", "abstrakte Kunst", "art abstrait", "arte astratta")),
    Term("Concretism", ("Concrete Art", "konkrete Kunst", "art concret")),
    Term("Art Informel", ("Informel", "arte informale", "Tachisme", "Tachism")),
    Term("Lyrical Abstraction", ("abstraction lyrique",)),
    Term("Art Brut", ("Outsider Art",)),
    Term(
        "Abstract Expressionism",
        ("Abstract Expressionist", "abstrakter Expressionismus", "expressionnisme abstrait", "espressionismo astratto"),
    ),
    Term("Action Painting", ("gestural abstraction",)),
    Term("Color Field Painting", ("Colour Field Painting", "Color Field", "Colour Field", "Farbfeldmalerei")),
    Term("Hard-Edge Painting", ("Hard Edge", "Hard Edge Painting")),
    Term("Post-Painterly Abstraction", ()),
    Term("Op Art", ("Optical Art",)),
    Term("Pop Art", ("Pop", "Pop-art"), *_aat(300022205, _ARTNOM)),
    Term("New Realism", ("Nouveau Réalisme", "neuer Realismus")),
    Term("Minimalism", ("Minimalist", "Minimal Art", "Minimalismus", "minimalisme", "minimalismo")),
    Term("Conceptual Art", ("Konzeptkunst", "art conceptuel", "arte concettuale")),
    Term("Photorealism", ("Hyperrealism", "Fotorealismus", "Hyper-Realism")),
    Term("Contemporary Realism", ("zeitgenössischer Realismus",)),
    Term("Neo-Expressionism", ("Neoexpressionismus", "Neue Wilde")),
    Term("Contemporary", ("Contemporary Art", "zeitgenössische Kunst")),
)

_INDEX: Mapping[str, Mapping[str, Term]] = MappingProxyType({"genre": _index(GENRES), "style": _index(STYLES)})
