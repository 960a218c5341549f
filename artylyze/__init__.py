"""Artylyze reads a whole digitized art collection and writes a Parquet catalog of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artylyze.api.arguments import Output as Output
    from artylyze.api.catalog import Catalog as Catalog
    from artylyze.api.catalog import open_catalog as open_catalog
    from artylyze.api.clustering import Clusters as Clusters
    from artylyze.api.clustering import cluster as cluster
    from artylyze.api.clustering import features as features
    from artylyze.api.clustering import influences as influences
    from artylyze.api.clustering import profiles as profiles
    from artylyze.api.clustering import report as report
    from artylyze.api.collection import scan as scan
    from artylyze.api.collection import tag as tag
    from artylyze.api.duplicates import duplicates as duplicates
    from artylyze.api.exploring import Explorer as Explorer
    from artylyze.api.exploring import explore as explore
    from artylyze.api.model import Model as Model
    from artylyze.api.model import Prediction as Prediction
    from artylyze.api.model import Term as Term
    from artylyze.api.model import load_model as load_model
    from artylyze.api.searching import Results as Results
    from artylyze.api.searching import index as index
    from artylyze.api.searching import search as search
    from artylyze.api.training import curate as curate
    from artylyze.api.training import evaluate as evaluate
    from artylyze.api.training import train as train
    from artylyze.api.training import tune as tune

__version__ = "0.1.0"

__all__ = [
    "Catalog",
    "Clusters",
    "Explorer",
    "Model",
    "Output",
    "Prediction",
    "Results",
    "Term",
    "__version__",
    "cluster",
    "curate",
    "duplicates",
    "evaluate",
    "explore",
    "features",
    "index",
    "influences",
    "load_model",
    "open_catalog",
    "profiles",
    "report",
    "scan",
    "search",
    "tag",
    "train",
    "tune",
]

_HOMES = {
    "arguments": ("Output",),
    "catalog": ("Catalog", "open_catalog"),
    "clustering": ("Clusters", "cluster", "features", "influences", "profiles", "report"),
    "collection": ("scan", "tag"),
    "duplicates": ("duplicates",),
    "exploring": ("Explorer", "explore"),
    "model": ("Model", "Prediction", "Term", "load_model"),
    "searching": ("Results", "index", "search"),
    "training": ("curate", "evaluate", "train", "tune"),
}
"""The module below `artylyze.api` of each name."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import artylyze` alone imports nothing else."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next(module for module, names in _HOMES.items() if name in names)
    value = getattr(importlib.import_module(f"artylyze.api.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
