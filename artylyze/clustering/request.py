"""What a user can ask a clustering for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast, get_args

from artylyze.errors import UsageError, check_seed
from artylyze.storage import check_output

if TYPE_CHECKING:
    from artylyze.clustering.mixture import Covariance

ALGORITHMS = ("kmeans", "gmm")
K_RANGE = (5, 60)
DEFAULT_K = 25

COMPONENTS = 32
"""Principal components that a mixture works on at most, unless asked for otherwise. By the BIC of 3,017 embeddings 32
are best (-573.6 a row with diagonal covariances, -573.9 with a tied one), then 64 (diagonal -572.6) and 16 (-572.2);
the 643 that hold 95% of the variance are far worse (-529.9). The table is benchmarks/results/cluster-mixture.json.
Fewer also leave more works in doubt between clusters: every dimension multiplies the odds."""


@dataclass(frozen=True)
class ClusterRequest:
    """One clustering. Raises UsageError for what does not go together.

    Attributes:
        source: a catalog or a features file.
        output: the folder of the clusters.
        algorithms: `kmeans`, `gmm` or both; the mixture begins with a KMeans clustering in any case.
        k: number of clusters, None for the elbow.
        k_range: lowest and highest k that are tried.
        covariance: of the mixture: `diag`, `full` or `tied`.
        variance: share of the variance that the mixture's principal components keep, unless that takes more than
        components: of them (for the default see `COMPONENTS`).
        device: auto, cpu or cuda.
        seed: of every random choice.
        sample: rows to fit on where there are more; all rows are then assigned, streaming. None: all rows.
        few_rows: whether nobody asked for this k: where images are few, another is chosen.
    """

    source: str
    output: str
    algorithms: tuple[str, ...] = ALGORITHMS
    k: int | None = DEFAULT_K
    k_range: tuple[int, int] = K_RANGE
    covariance: Covariance = "diag"
    variance: float = 0.95
    components: int = COMPONENTS
    device: str = "auto"
    seed: int = 0
    sample: int | None = None
    few_rows: bool = False

    def __post_init__(self) -> None:
        if not self.output:
            raise UsageError("Say where the clusters go: `output`.")
        check_output(self.output)
        if not self.algorithms or not set(self.algorithms) <= set(ALGORITHMS):
            raise UsageError(f"`algorithm={','.join(self.algorithms)!r}`: choose kmeans, gmm or kmeans,gmm.")
        if self.k is not None and self.k < 1:
            raise UsageError(f"`k={self.k}`: ask for at least 1 cluster.")
        if self.k is not None and self.k_range != K_RANGE:
            raise UsageError("`k_range` goes with `k='auto'`.")
        if not 1 <= self.k_range[0] < self.k_range[1]:
            raise UsageError("`k_range`: give the lowest and the highest k, such as 5,60.")
        check_covariance(self.covariance)
        check_seed(self.seed)
        if not 0 < self.variance <= 1:
            raise UsageError(f"`variance={self.variance:g}`: a share between 0 and 1.")
        if self.components < 1:
            raise UsageError(f"`components={self.components}`: ask for at least 1.")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"`device={self.device!r}`: choose auto, cpu or cuda.")
        if self.sample is not None and self.sample < 2:
            raise UsageError(f"`sample={self.sample}`: fit on at least 2 rows.")

    def check_assigns(self) -> None:
        """Raise UsageError where images are to be assigned, and options of a fit are given."""
        if self != ClusterRequest(self.source, self.output, device=self.device, few_rows=True):
            raise UsageError("`assign` takes clusters as they were fitted: leave out the options of a fit.")


def check_covariance(covariance: str) -> None:
    """Raise UsageError for a covariance that there is not."""
    from artylyze.clustering.mixture import Covariance as Kinds

    if covariance not in get_args(Kinds):
        raise UsageError(f"`covariance={covariance!r}`: choose diag, full or tied.")


def parse_k(text: str) -> int | None:
    """Return `25` as a number and `auto` as None; raise UsageError for anything else."""
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"`k={text!r}`: give a number of clusters, or auto.") from None


def parse_range(text: str) -> tuple[int, int]:
    """Return `5,60` as two numbers; raise UsageError for anything else."""
    try:
        low, high = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"`k_range={text!r}`: give the lowest and the highest k, such as 5,60.") from None
    return low, high


def parse_covariance(text: str) -> Covariance:
    """Return the word; `check_covariance` judges it."""
    return cast("Covariance", text)
