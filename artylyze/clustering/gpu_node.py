"""Does the work of a clustering on a GPU node of the Ray cluster, where this machine has no GPU: the head of a cluster.

The node reads the vectors from the storage, and sends back what is to be written; only this machine writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from rich.filesize import decimal

from artylyze.errors import ArtylyzeError
from artylyze.models.runtimes import resolve_device
from artylyze.ray_session import cluster_address
from artylyze.workers.supervision import cores, end_with_parent

if TYPE_CHECKING:
    from artylyze.progress import Watcher

T = TypeVar("T")

PROGRAM = 3 << 30
"""Bytes that the process takes besides the data: Python with torch and its CUDA context."""


def is_needed(device: str) -> bool:
    """Whether `device` means a GPU of the cluster that RAY_ADDRESS names: `cuda` does, `auto` if it has one now.

    Not where this machine has a GPU, as in a job that was submitted with `--entrypoint-num-gpus`.
    """
    if device == "cpu" or cluster_address() is None or resolve_device("auto") == "cuda":
        return False
    from artylyze.ray_session import connect, resources

    connect()
    return device == "cuda" or bool(resources().get("GPU"))


def on_gpu_node(work: Callable[[Watcher], T], memory: int, watcher: Watcher) -> T:
    """Do some work in a Ray task with a GPU of its own, and return what it returns.

    Args:
        work: given a watcher, whose calls reach `watcher`. It raises an ArtylyzeError for whatever a user can mend.
        memory: bytes that the task asks Ray for, and that it must not exceed by much: Ray ends tasks of a node that
            runs out of memory.
        watcher: receives also what the task waits for.

    Raises:
        ArtylyzeError: what `work` raises, or that the task was lost.
    """
    import ray

    from artylyze.ray_session import connect, reporting_waits

    watcher.say(f"Ray's own logs: {connect()}")
    watcher.say(f"Fitting on a GPU node of the Ray cluster, with 1 GPU and {decimal(memory)} of memory.")
    task: Any = ray.remote(num_cpus=1, num_gpus=1, memory=memory, max_retries=0)(_relay)
    try:
        with reporting_waits(watcher.say):
            for reference in task.remote(work):
                name, arguments = ray.get(reference)
                if name == "return":
                    result: T = arguments
                    return result
                getattr(watcher, name)(*arguments)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, ArtylyzeError):
            raise cause from error
        what = f"{type(cause).__name__}: {cause}" if cause else str(error).strip()
        raise ArtylyzeError(
            f"The task on the GPU node failed, which asked for {decimal(memory)} of memory: {what.splitlines()[0]} "
            "Run the same command again; if memory ran out, with a smaller `sample`."
        ) from error
    raise ArtylyzeError("The task on the GPU node ended without a result. This is a defect: Ray's logs tell more.")


class _Calls:
    """A watcher that hands its calls on."""

    def __init__(self, calls: SimpleQueue[Any]) -> None:
        self._calls = calls

    def say(self, message: str) -> None:
        self._calls.put(("say", (message,)))

    def start(self, rows: int, done: int, what: str) -> None:
        self._calls.put(("start", (rows, done, what)))

    def advance(self, rows: int, errors: int) -> None:
        self._calls.put(("advance", (rows, errors)))


def _relay(work: Callable[[Watcher], Any]) -> Iterator[tuple[str, Any]]:
    """Do the work on all cores of this node; yield its watcher's calls, then what it returns."""
    from threadpoolctl import threadpool_limits

    end_with_parent()
    calls: SimpleQueue[Any] = SimpleQueue()

    def with_all_cores() -> Any:
        with threadpool_limits(cores()):  # Ray lets a task that asks for one CPU begin with one thread
            return work(_Calls(calls))

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(with_all_cores)
        future.add_done_callback(lambda _: calls.put(None))
        while (call := calls.get()) is not None:
            yield call
    yield "return", future.result()
