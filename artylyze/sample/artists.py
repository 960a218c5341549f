"""Forty invented artists and their hands: nobody here ever lived."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Artist:
    """An invented artist: who, when, and the one or two styles they paint in."""

    name: str
    nationality: str
    born: int
    active: tuple[int, int]
    styles: tuple[str, ...]


def _artist(name: str, nationality: str, start: int, stop: int, *styles: str) -> Artist:
    return Artist(name, nationality, start - 22, (start, stop), styles)


ARTISTS: tuple[Artist, ...] = (
    _artist("Odile Marchevent", "French", 1868, 1901, "Impressionism"),
    _artist("Teodor Brannvik", "Norwegian", 1874, 1912, "Impressionism", "Realism"),
    _artist("Hester Quillfeather", "British", 1879, 1909, "Impressionism", "Pointillism"),
    _artist("Lucio Fontabella", "Italian", 1882, 1914, "Impressionism"),
    _artist("Anselme Pointreau", "French", 1884, 1911, "Pointillism"),
    _artist("Griet van Stippelen", "Belgian", 1887, 1918, "Pointillism"),
    _artist("Baltasar Ornedo", "Spanish", 1889, 1915, "Pointillism", "Symbolism"),
    _artist("Ramón Quadreny", "Spanish", 1908, 1941, "Cubism"),
    _artist("Zdenka Hranová", "Czech", 1910, 1937, "Cubism", "Expressionism"),
    _artist("Fabrice Delangle", "French", 1909, 1932, "Cubism"),
    _artist("Noémi Kockás", "Hungarian", 1912, 1944, "Cubism"),
    _artist("Girolamo Ombroso", "Italian", 1602, 1641, "Baroque"),
    _artist("Pieter Duisterveen", "Dutch", 1625, 1668, "Baroque", "Realism"),
    _artist("Isidora Velamonte", "Spanish", 1630, 1672, "Baroque"),
    _artist("Casimir Nachtigall", "German", 1641, 1679, "Baroque"),
    _artist("Kawanaga Shōsui", "Japanese", 1788, 1822, "Ukiyo-e"),
    _artist("Mizuhara Tomoe", "Japanese", 1810, 1849, "Ukiyo-e"),
    _artist("Ōtsuki Harumine", "Japanese", 1829, 1861, "Ukiyo-e"),
    _artist("Célestin Rosambeau", "French", 1721, 1764, "Rococo"),
    _artist("Aurore de Valfleury", "French", 1738, 1779, "Rococo"),
    _artist("Leopold Zierlinger", "Austrian", 1733, 1770, "Rococo"),
    _artist("Ginevra Piumetti", "Italian", 1729, 1761, "Rococo", "Baroque"),
    _artist("Konrad Lohfarb", "German", 1905, 1933, "Expressionism"),
    _artist("Ingrid Skrikstad", "Norwegian", 1898, 1935, "Expressionism", "Symbolism"),
    _artist("Marta Feuerbrandt", "Austrian", 1907, 1938, "Expressionism"),
    _artist("Jonah Plainfield", "American", 1959, 1991, "Minimalism"),
    _artist("Aiko Shirasawa", "Japanese", 1962, 2001, "Minimalism"),
    _artist("Ulla Tomrum", "Danish", 1965, 1999, "Minimalism", "Abstract Expressionism"),
    _artist("Dexter Bangwell", "American", 1958, 1988, "Pop Art"),
    _artist("Trixie Halftone", "British", 1961, 1993, "Pop Art"),
    _artist("Nico Lampadina", "Italian", 1963, 1990, "Pop Art"),
    _artist("Ruth Splaine", "American", 1946, 1975, "Abstract Expressionism"),
    _artist("Walter Drybrook", "American", 1948, 1971, "Abstract Expressionism"),
    _artist("Irena Rozmach", "Polish", 1951, 1983, "Abstract Expressionism", "Pop Art"),
    _artist("Edmund Fairweather-Stone", "British", 1842, 1881, "Realism"),
    _artist("Praskovya Polevaya", "Russian", 1856, 1893, "Realism", "Impressionism"),
    _artist("Joos van der Tafel", "Flemish", 1431, 1470, "Northern Renaissance"),
    _artist("Mechtild Feinmaler", "German", 1489, 1528, "Northern Renaissance"),
    _artist("Lieven Craquelaer", "Flemish", 1462, 1499, "Northern Renaissance"),
    _artist("Séraphin Brumeval", "Belgian", 1884, 1913, "Symbolism"),
)
