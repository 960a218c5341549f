"""Time and cost of ten million images on the machines of cluster.yaml: a model from measured rates, not a measurement.

images/s = nodes x cores x images/s of a core x efficiency, at most what the driver can hand out; the time adds the
start of the nodes, and the cost is that of the nodes for that time and of one GET for each image. `predicted` in
`scaling.py` is the same model of a cluster on one machine, held against its measured figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from artylyze.catalog.plan import MAX_IMAGES, MAX_PIXEL_BYTES
from benchmarks import report


@dataclass(frozen=True)
class Machine:
    """A machine as cluster.yaml names it.

    Attributes:
        name: of the instance type.
        cores: that decode and tag.
        dollars: for an hour.
    """

    name: str
    cores: int
    dollars: float


PRICED = "November 2026"
MACHINES = (Machine("c7i.4xlarge", 16, 0.80),)
"""Examples: nobody looked these prices up; put in those of your region, on demand or spot."""
DOLLARS_PER_GET = 0.4e-6
"""Another example."""
IMAGES = 10_000_000
START_HOURS = 0.1
"""From the request for nodes to the first image: an assumption, `setup_commands` take some minutes."""
EFFICIENCY = 0.9
"""Share of the rate of as many single cores: an assumption. Four nodes that wait for their images reach 0.96 of it
(scaling.json)."""
SHARDS_PER_SECOND = 100
"""That a driver hands out: 24,000 shards through a stage that does nothing (scaling.json), on two cores."""
PIXELS = {"starter": 384, "embedding": 224}
"""Side of the square that a model takes: shards of large squares hold fewer images."""


@dataclass(frozen=True)
class Estimate:
    """What a run would take: images per second, hours from its start to its end, dollars for nodes and requests."""

    images_per_second: float
    hours: float
    dollars: float


def estimate(
    images: int, per_core: float, machine: Machine, nodes: int, efficiency: float, dispatched: float
) -> Estimate:
    """Estimate a run.

    Args:
        images: of the collection.
        per_core: images per second of one core that is busy all the time.
        machine: of every node.
        nodes: number of machines.
        efficiency: share of that which is left on many nodes, up to 1.
        dispatched: images per second that the driver can hand out, at most.
    """
    per_second = min(nodes * machine.cores * per_core * efficiency, dispatched)
    hours = START_HOURS + images / per_second / 3600
    return Estimate(per_second, hours, nodes * machine.dollars * hours + images * DOLLARS_PER_GET)


def section(models: Mapping[str, Any]) -> str:
    """The documentation's table: ten million images with the starter and with its backbone alone."""
    cores, cells = models["machine"]["cores"], []
    rates = {name: models["contestants"][name]["steady_per_second"] / cores for name in PIXELS}
    for name, pixels in PIXELS.items():
        dispatched = SHARDS_PER_SECOND * min(MAX_IMAGES, MAX_PIXEL_BYTES // (pixels**2 * 3))
        for machine in MACHINES:
            for nodes in (1, 8, 32):
                found = estimate(IMAGES, rates[name], machine, nodes, EFFICIENCY, dispatched)
                figures = (f"{found.images_per_second:,.0f}", f"{found.hours:,.1f}", f"{found.dollars:,.0f}")
                cells.append([report.NAMES[name], f"{nodes} x {machine.name}", *figures])
    prices = ", ".join(f"${machine.dollars:.2f} an hour for a {machine.name}" for machine in MACHINES)
    about = (
        f"Measured: {rates['starter']:.0f} and {rates['embedding']:.0f} images/s of a core "
        f"({models['machine']['processor']}), of photographs of paintings; large scans take longer. Assumed: "
        f"{EFFICIENCY:.0%} of that on many nodes, and {START_HOURS * 60:.0f} minutes until nodes are up. Examples, not "
        f"prices that anybody looked up ({PRICED}): {prices}, ${DOLLARS_PER_GET * 1e6:.2f} for a million GETs."
    )
    return f"{report.markdown(['', 'nodes', 'images/s', 'hours', 'dollars'], cells)}\n\n{about}"
