from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

import pytest
import ray

from artylyze import errors
from artylyze.catalog.plan import Shard
from artylyze.catalog.run import RunSpec
from artylyze.errors import ArtylyzeError, ErrorCode, ImageError, StorageError
from artylyze.ray_session import end_actors, resources
from artylyze.tagging.engine import Workers, describe_start
from artylyze.tagging.job import run
from artylyze.tagging.ray_engine import RayEngine, _ours, build, let_idle_nodes_go, stage
from artylyze.tagging.request import TagRequest
from artylyze.tagging.shard import ShardSettings
from tests.faults.poison import worker_killing_jpeg
from tests.tagging.conftest import Quiet, fill

pytestmark = pytest.mark.usefixtures("ray_cluster")


SHARDS = tuple(Shard(number, 2 * number, 2 * number + 2) for number in range(5))


def operators(workers: Workers) -> dict[str, tuple[int, int]]:
    """The physical operators of a plan, the first one first, with their actors at first and at most."""
    from ray.data._internal.logical.optimizers import get_execution_plan

    settings = ShardSettings("catalog", "run", "model", (), 8, 64, 5, conditional=True)
    dataset = build(settings, ray.put(None), SHARDS, workers)
    operator: Any = get_execution_plan(dataset._logical_plan)[0].dag
    found = {}
    while operator.input_dependencies:
        (pool,) = operator.get_autoscaling_actor_pools()
        found[operator.name] = (pool.min_size(), pool.max_size())
        (operator,) = operator.input_dependencies
    return dict(reversed(found.items()))


def test_on_cpus_one_stage_does_all() -> None:
    assert operators(Workers("cpu", "float32", 2, 2, separate=False)) == {"MapBatches(FusedStage)": (2, 2)}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_with_gpus_the_stages_stay_apart(device: str) -> None:
    expected = {"MapBatches(ReadStage)": (2, 2), "MapBatches(TagStage)": (1, 1), "MapBatches(CommitStage)": (2, 2)}
    assert operators(Workers(device, "float32", 1, 2, separate=True)) == expected


def test_pools_that_follow_the_cluster_have_at_most_an_actor_for_each_shard() -> None:
    workers = Workers("cuda", "float32", 90, 90, separate=True, first_taggers=1, first_readers=7)
    expected = {"MapBatches(ReadStage)": (5, 5), "MapBatches(TagStage)": (1, 5), "MapBatches(CommitStage)": (2, 10)}
    assert operators(workers) == expected


def test_without_a_number_workers_follow_a_cluster_that_may_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = RunSpec("run", "tag", None, "model", (), 8, {}, "cpu", "float32", {}, "digest", SHARDS)
    engine = RayEngine(lambda _: None)
    here = engine.choose_workers(spec, None, None, None)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    there, asked = (engine.choose_workers(spec, number, None, None) for number in (None, 7))
    assert (here.first_taggers, here.taggers) == (2, 2)
    assert (there.first_taggers, there.taggers) == (2, 5)
    assert (asked.first_taggers, asked.taggers) == (7, 7)
    assert describe_start(there, 5) == "starting 2 workers, and more as the cluster grows"
    assert describe_start(there, 1) == "starting 1 worker"
    assert describe_start(asked, 5) == "starting 5 workers"


class Passing:
    """A stage that passes its blocks on."""

    def __call__(self, block: Any) -> Any:
        return block


@pytest.mark.slow
def test_at_the_end_nothing_more_is_asked_of_the_autoscaler() -> None:
    dataset = stage(ray.data.range(8, override_num_blocks=8).materialize(), Passing, (1, 1), {"num_cpus": 1})
    batches = dataset.iter_batches(batch_size=None, prefetch_batches=0)
    next(iter(batches))
    autoscaler: Any = dataset._current_executor._cluster_autoscaler  # type: ignore[union-attr]
    autoscaler._last_resource_request = [{"CPU": 1.0}] * 64
    autoscaler._min_gap_between_autoscaling_requests = 0
    let_idle_nodes_go(dataset)
    assert autoscaler.try_trigger_scaling() == []
    list(batches)


@pytest.mark.slow
@pytest.mark.parametrize("separate", [False, True])
def test_a_shard_that_kills_its_worker_every_time_ends_the_run_and_is_named(
    tmp_path: Path, model: Path, watcher: Quiet, separate: bool
) -> None:
    images = fill(tmp_path / "images", 12)
    (images / "0006.jpg").write_bytes(worker_killing_jpeg())
    request = TagRequest(
        str(images), str(tmp_path / "out"), model=str(model), engine="ray", separate=separate, shard_size=4
    )
    with pytest.raises(StorageError, match=r"^Shard 1 \(4 images, 0004\.jpg to 0007\.jpg\) killed its worker 4 times"):
        run(request, watcher)
    _wait_until_all_is_free()


def _wait_until_all_is_free() -> None:
    """The worker that was started again held its CPUs, and a training waited for them for ever."""
    free: dict[str, float] = {}
    for _ in range(150):
        free = ray.available_resources()  # type: ignore[no-untyped-call]
        if free.get("CPU") == resources()["CPU"]:
            return
        time.sleep(0.2)
    raise AssertionError(f"CPUs are still held: {free} of {resources()}")


OURS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
SENTENCE = "s3://museum/scans: it's refused (403)."


def raised(kind: type[Exception]) -> Exception:
    return ImageError(ErrorCode.MISSING, SENTENCE) if kind is ImageError else kind(SENTENCE)


class Raising:
    """Raises an error while it starts, or when it is called."""

    def __init__(self, error: Exception, starting: bool) -> None:
        self.error = error
        if starting:
            raise error

    def __call__(self, _block: Any) -> Any:
        raise self.error


@ray.remote(num_cpus=0)
def raise_it(error: Exception) -> None:
    raise error


def check_passed_on(kind: type[Exception], passed_on: ArtylyzeError) -> None:
    assert type(passed_on) is (StorageError if kind is ImageError else kind)
    assert SENTENCE in str(passed_on)
    if kind is not ImageError:
        assert str(passed_on) == SENTENCE


@pytest.mark.parametrize("kind", OURS)
def test_an_error_of_a_task_is_passed_on_as_it_is(kind: type[Exception]) -> None:
    with pytest.raises(ray.exceptions.RayError) as caught:
        ray.get(raise_it.remote(raised(kind)))
    check_passed_on(kind, _ours(caught.value))


@pytest.mark.parametrize("kind", OURS)
def test_an_error_of_which_only_the_text_is_left_is_passed_on_as_it_is(kind: type[Exception]) -> None:
    try:
        try:
            raise StorageError("an earlier one")
        except StorageError as earlier:
            raise raised(kind) from earlier
    except Exception as error:
        text = "".join(traceback.format_exception(error))
    check_passed_on(kind, _ours(RuntimeError(f"The actor died.\n{text}")))


def test_an_error_of_an_actor_that_starts_is_passed_on_as_it_is() -> None:
    actor: Any = ray.remote(Raising)
    with pytest.raises(ray.exceptions.RayError) as caught:
        ray.get(actor.options(num_cpus=0).remote(raised(ImageError), True).__call__.remote(None))
    check_passed_on(ImageError, _ours(caught.value))


def test_an_error_of_a_stage_is_passed_on_as_it_is() -> None:
    dataset = stage(ray.data.from_items([{"n": 1}]), Raising, (1, 1), {"num_cpus": 1}, raised(ImageError), False)
    try:
        with pytest.raises(ray.exceptions.RayError) as caught:
            list(dataset.iter_batches())
    finally:
        end_actors([Raising.__name__])
    check_passed_on(ImageError, _ours(caught.value))
