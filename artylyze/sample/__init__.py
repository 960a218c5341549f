"""A generated, labelled collection of paintings, for demonstration, tests and load: any size, the same every time."""

from artylyze.sample.plan import AWKWARD_SHARE, LARGE_SHARE, Record, Spec, describe, render
from artylyze.sample.writing import SampleSummary, write_sample

__all__ = ["AWKWARD_SHARE", "LARGE_SHARE", "Record", "SampleSummary", "Spec", "describe", "render", "write_sample"]
