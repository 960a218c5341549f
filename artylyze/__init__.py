"""Artylyze reads a whole digitized art collection and writes a Parquet catalog of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artylyze.api.catalog import Catalog as Catalog
    from artylyze.api.catalog import open_catalog as open_catalog
    from artylyze.api.commands import Clusters as Clusters
    from artylyze.api.commands import Output as Output
    from artylyze.api.commands import cluster as cluster
    from artylyze.api.commands import curate as curate
    from artylyze.api.commands import evaluate as evaluate
    from artylyze.api.commands import features as features
    from artylyze.api.commands import influences as influences
    from artylyze.api.commands import profiles as profiles
    from artylyze.api.commands import report as report
    from artylyze.api.commands import scan as scan
    from artylyze.api.commands import tag as tag
    from artylyze.api.commands import train as train
    from artylyze.api.commands import tune as tune
    from artylyze.api.model import Model as Model
    from artylyze.api.model import Prediction as Prediction
    from artylyze.api.model import Term as Term
    from artylyze.api.model import load_model as load_model

__version__ = "0.1.0"

__all__ = [
    "Catalog",
    "Clusters",
    "Model",
    "Output",
    "Prediction",
    "Term",
    "__version__",
    "cluster",
    "curate",
    "evaluate",
    "features",
    "influences",
    "load_model",
    "open_catalog",
    "profiles",
    "report",
    "scan",
    "tag",
    "train",
    "tune",
]

_HOMES = {"Catalog": "catalog", "open_catalog": "catalog"} | dict.fromkeys(
    ("Model", "Prediction", "Term", "load_model"), "model"
)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import artylyze` alone imports nothing else."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"artylyze.api.{_HOMES.get(name, 'commands')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
