"""Real pictures that installed packages ship: photographs of scikit-learn and matplotlib, paintings of GCompris.

artylyze ships no pictures of its own: these are read where they are installed, to show the starter on real ones.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

PHOTOGRAPHS = (
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)
"""Of packages that artylyze requires: the package, and the file in it."""

GCOMPRIS = Path("/usr/share/gcompris-qt/rcc/details.rcc")
"""Where Debian's package gcompris-qt-data puts eight paintings by Van Gogh and thirteen photographs of buildings."""

_WHOLE = "_background.webp"
"""How the names of whole pictures end; the others are details that children are to find in them."""

_FOLDER, _COMPRESSED = 2, 0b101  # flags of a node in a Qt resource file (qresource.cpp): zlib 1, zstd 4


def write_shipped(folder: Path, resource: Path = GCOMPRIS) -> None:
    """Copy the pictures that are installed here into a folder, made if need be.

    Args:
        folder: where they go.
        resource: the Qt resource file of GCompris; nothing is taken from it where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in _pictures(resource):
        if not (folder / name).exists():  # written again it would be another version of the picture
            (folder / name).write_bytes(data)


def _pictures(resource: Path) -> Iterator[tuple[str, bytes]]:
    for package, path in PHOTOGRAPHS:
        if (file := files(package) / path).is_file():
            yield Path(path).name, file.read_bytes()
    if resource.is_file():
        for name, data in read_resource(resource):
            if name.endswith(_WHOLE):
                yield name.removesuffix(_WHOLE) + ".webp", data


def read_resource(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each file in a Qt resource file (.rcc); compressed files are left out.

    Raises ValueError for a file that is none.
    """
    whole = path.read_bytes()
    if whole[:4] != b"qres":
        raise ValueError(f"{path} is no Qt resource file")
    version, tree, data, names = struct.unpack_from(">4xIIII", whole)
    size = 14 if version < 2 else 22  # since version 2 a node ends with a time

    def walk(number: int) -> Iterator[tuple[str, bytes]]:
        name, flags, first, second = struct.unpack_from(">IHII", whole, tree + number * size)
        if flags & _FOLDER:
            for child in range(second, second + first):
                yield from walk(child)
        elif not flags & _COMPRESSED:
            start = data + second
            (count,) = struct.unpack_from(">I", whole, start)
            (length,) = struct.unpack_from(">H", whole, names + name)
            title = whole[names + name + 6 :][: 2 * length].decode("utf-16-be")
            yield title, whole[start + 4 : start + 4 + count]

    return walk(0)
