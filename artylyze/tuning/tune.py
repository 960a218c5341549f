"""Tune: Ray Tune runs the trials of a sweep, and goes on with those that an interruption left open.

A sweep of one frozen trial on this machine, which trains at all rates in one pass, runs without Ray.

What trials leave in their folders (trials.py) is the truth; Ray Tune's own state says which of them it stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artylyze.errors import ArtylyzeError, InputError, UsageError
from artylyze.ray_session import cluster_address
from artylyze.storage.staging import local_output, refuse_cluster
from artylyze.training.messages import relayed
from artylyze.tuning import trials
from artylyze.tuning.leaderboard import FAILED, JSON, Board, leaderboard, write_board
from artylyze.tuning.placement import freeing_placement_groups
from artylyze.tuning.sweep import RANDOM, Trial, TuneRequest, absolute
from artylyze.workers.supervision import end_with_parent

if TYPE_CHECKING:
    from artylyze.progress import Watcher
    from artylyze.training.messages import Channel

SETTINGS, BEST, TRIALS, RAY = "settings.json", "best", "trials", "ray"

GRACE, HALVING = 5, 2
"""ASHA (Li et al. 2020, arXiv:1810.05934): a trial may be stopped after a fifth of its epochs, and each time their
number has doubled, if it is not in the better half of the trials that came so far."""

ENVIRONMENT = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # its handler swallows the signal: an interrupted sweep would look complete
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # a CSV, a JSON and a TensorBoard file for each trial
    "TUNE_GLOBAL_CHECKPOINT_S": "1",  # what is stopped shall stay so after a kill
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one prints on stdout whatever `verbose` says
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a dataset may name its images from where the command was given
}
"""Of Ray Tune, in this process."""


@dataclass(frozen=True)
class Share:
    """What the cluster lets trials have.

    Attributes:
        resources: that one trial holds itself.
        together: trials at the same time.
        cores: that the workers of one trial may use; None: all that are there.
    """

    resources: Mapping[str, float]
    together: int
    cores: int | None = None


def tune(request: TuneRequest, reporter: Watcher) -> Board:
    """Run the sweep, or what is left of it; write its table, its plot and the best trial's bundle.

    Where the output is an address, it gets them when the sweep is complete; until then they lie on this machine.

    Raises:
        UsageError: for what does not go together, such as a task that the dataset does not have.
        InputError: for a dataset or a folder that cannot be used, or if no trial succeeded.
        ArtylyzeError: whatever stopped the trials, if it stopped all of them.
    """
    refuse_cluster(request.output)
    with local_output(request.output, marker=JSON, resume=True, leave=RAY) as folder:
        return _tune(absolute(replace(request, output=folder)), reporter)


def _tune(request: TuneRequest, reporter: Watcher) -> Board:
    folder = Path(request.output)
    settings = request.settings(_checked(request))
    _claim(folder, settings)
    plan = request.plan()
    lost: dict[int, str] = {}
    before = trials.read(folder / JSON)
    if before is None or any(row["state"] == FAILED for row in before["rows"]):
        alone = _alone(request, plan, reporter)
        lost = _run_here(request, plan[0], reporter) if alone else _run(request, folder, plan, reporter)
    board = leaderboard(request, plan, lost)
    if not board.complete:
        raise next((error for trial in plan if (error := trials.error_of(trial.folder))), None) or ArtylyzeError(
            f"No trial came to its end: {next(iter(lost.values()), 'all were stopped')}. Run the same command again."
        )
    _keep_best(board, folder, plan, reporter)
    write_board(board, folder, settings)
    return board


def _checked(request: TuneRequest) -> str:
    """Find mistakes in a second that trials would find in a minute; return the dataset's digest."""
    from artylyze.datasets.dataset import read_dataset
    from artylyze.datasets.examples import examples_of

    dataset = read_dataset(request.dataset)
    examples = examples_of(dataset, request.tasks)
    if examples.table.column("uri").take(examples.labelled).null_count:
        raise InputError("The dataset names no images: make it again with `artylyze curate --images`.")
    if request.device == "cuda" and not cluster_address():
        from artylyze.models.runtimes import resolve_device

        resolve_device("cuda")
    for name, file in request.weights.items():
        if file != RANDOM and not Path(file).is_file():
            raise InputError(f"There is no weights file {file} for {name}.")
    if request.backbones:  # importing timm takes seconds
        import timm

        from artylyze.models.backbones import create_module

        for name in request.backbones:
            if name != "cnn3" and not timm.is_model(name):
                create_module(name)  # says which names are near
    return dataset.digest


def _claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder this sweep's, or see that it is."""
    there = trials.read(folder / SETTINGS)
    if there is None:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise InputError(f"{folder} exists already and is no sweep: remove it or choose another folder.")
        try:
            (folder / TRIALS).mkdir(parents=True)
            unfinished = folder / f".{uuid.uuid4().hex}"
            unfinished.write_text(json.dumps(settings))
            unfinished.replace(folder / SETTINGS)
        except OSError as error:
            raise InputError(f"{folder} cannot be written: {error.strerror or error}.") from error
        return
    asked = json.loads(json.dumps(settings))
    differ = [name for name in asked if there.get(name) != asked[name]]
    if differ:
        name = differ[0]
        raise InputError(
            f"{folder} holds another sweep ({name}: {there.get(name)}, now {asked[name]}): "
            "choose another folder, or give the same settings to go on with it."
        )


def _alone(request: TuneRequest, plan: list[Trial], watcher: Watcher) -> bool:
    """Whether there is one trial, for this machine, that starts no workers: Ray would only cost the time of its start.

    Starting Ray, its worker and what both import took 7 s of a sweep of 26 s, which trained 12 rates on 243 images.
    """
    return request.mode == "frozen" and len(plan) == 1 and not cluster_address(watcher)


def _run_here(request: TuneRequest, trial: Trial, watcher: Watcher) -> dict[int, str]:
    """Run the only trial in this process. It is lost to nothing: what stops it is in its folder."""
    _explain_asha(request, watcher)
    with suppress(ArtylyzeError):
        trials.run(request, trial, watcher, lambda _epoch, _score: None, None)
    return {}


def _explain_asha(request: TuneRequest, watcher: Watcher) -> None:
    if request.scheduler == "asha" and request.mode == "frozen":
        watcher.say("asha stops nothing here: frozen mode trains at all learning rates in one pass.")


def _run(request: TuneRequest, folder: Path, plan: list[Trial], watcher: Watcher) -> dict[int, str]:
    """Let Ray Tune run what is open; return what became of the trials that it lost, by their number."""
    os.environ.update(ENVIRONMENT)
    import ray
    from ray import tune as ray_tune
    from ray.util.queue import Queue

    from artylyze.ray_session import connect, reporting_waits

    done = sum(trials.read(trial.folder / trials.RESULT) is not None for trial in plan)
    if done:
        watcher.say(f"Going on: {done:,} of {len(plan):,} trials are complete already.")
    watcher.say(f"Ray's own logs: {connect(watcher)}")
    _explain_asha(request, watcher)
    nodes = [
        (float(node["Resources"].get("CPU", 0)), float(node["Resources"].get("GPU", 0)))
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]
    share = share_resources(nodes, request)
    if cluster_address() is None:
        _check_room(nodes, share)
    elif request.concurrent is None and len(plan) > share.together:
        watcher.say(f"Trials at the same time: {share.together}. `concurrent` sets another number.")
    channel = Queue(actor_options={"num_cpus": 0})
    work = ray_tune.with_parameters(
        _trial, request=request, channel=channel, cores=share.cores, alone=min(share.together, len(plan)) == 1
    )
    tuner = _tuner(ray_tune.with_resources(work, dict(share.resources)), request, folder, len(plan), share)
    with relayed(channel, watcher), freeing_placement_groups(), reporting_waits(watcher.say):
        grid = tuner.fit()
    errors = {int(result.config["number"]): result.error for result in grid if result.config}
    return {number: _last_line(error) for number, error in errors.items() if error is not None}


def _tuner(work: Any, request: TuneRequest, folder: Path, count: int, share: Share) -> Any:
    """The tuner of an earlier attempt, or a new one."""
    from ray import tune as ray_tune

    state = folder / RAY
    tuner = None
    with suppress(Exception):  # Ray's own kinds, of any sort: its state was not written whole
        if ray_tune.Tuner.can_restore(str(state)):
            tuner = ray_tune.Tuner.restore(str(state), trainable=work, resume_unfinished=True, restart_errored=True)
    if tuner is not None:
        restored: Any = tuner._local_tuner
        restored._tune_config.max_concurrent_trials = share.together  # not the number of the earlier attempt
        return tuner
    shutil.rmtree(state, ignore_errors=True)
    epochs = request.training(request.plan()[0]).epoch_count
    scheduler = None
    if request.halving:
        scheduler = ray_tune.schedulers.ASHAScheduler(
            time_attr="epoch", max_t=epochs, grace_period=max(1, epochs // GRACE), reduction_factor=HALVING
        )
    return ray_tune.Tuner(
        work,
        param_space={"number": ray_tune.grid_search(list(range(count)))},
        tune_config=ray_tune.TuneConfig(
            metric="score", mode="max", scheduler=scheduler, max_concurrent_trials=share.together
        ),
        run_config=ray_tune.RunConfig(name=RAY, storage_path=str(folder), verbose=0),
    )


def share_resources(nodes: list[tuple[float, float]], request: TuneRequest) -> Share:
    """What trials of `request` get where machines have (cores, GPUs) each.

    A frozen trial reserves a machine, or a GPU with its share of the cores; where more of them run together than there
    are machines, each reserves its share. One that fine-tunes waits for its workers, which take what they need: as many
    trials run together as have GPUs, or machines, for all their workers.
    """
    machines = [(cpu, gpu) for cpu, gpu in nodes if cpu >= 1]
    gpus = 0 if request.device == "cpu" else int(sum(gpu for _, gpu in machines))
    if request.mode == "finetune":
        together = request.concurrent or max(1, (gpus or len(machines)) // request.workers)
        cores = int(sum(cpu for cpu, _ in machines)) // together
        share = max(1, cores) if together > 1 and machines else None
        held = {"memory": 1}  # Tune demands that a trial holds something: a byte
        return Share(held, together, request.cpus_per_trial or share)
    gpu = request.gpus_per_trial or float(gpus > 0 or request.device == "cuda")
    if gpu:
        rooms = [(cpu, int(count / gpu)) for cpu, count in machines if count >= gpu]
        together = request.concurrent or sum(room for _, room in rooms) or 1
    else:
        together = request.concurrent or len(machines) or 1
        rooms = [(cpu, -(-together // len(machines))) for cpu, _ in machines]
    cpu = request.cpus_per_trial or max(1, min((int(cpu // room) for cpu, room in rooms), default=1))
    return Share({"CPU": cpu} | ({"GPU": gpu} if gpu else {}), together)


def _check_room(nodes: list[tuple[float, float]], share: Share) -> None:
    """Raise UsageError where no trial would ever begin."""
    cpus, gpus = share.resources.get("CPU", 0), share.resources.get("GPU", 0)
    if not any(cpu >= cpus and gpu >= gpus for cpu, gpu in nodes):
        has = f"{max(cpu for cpu, _ in nodes):g} cores and {max(gpu for _, gpu in nodes):g} GPUs"
        raise UsageError(
            f"A trial would reserve {cpus:g} cores and {gpus:g} GPUs, this machine has {has}: ask for less with "
            "`cpus_per_trial` or `gpus_per_trial`."
        )


class _Relay:
    """The watcher of a trial: passes on to the sweep's what happens in the trial's process."""

    def __init__(self, channel: Channel, name: str, *, alone: bool) -> None:
        self._channel, self._name, self._alone = channel, name, alone

    def say(self, message: str) -> None:
        self._channel.put(("say", (f"{self._name}: {message}",)))

    def start(self, rows: int, done: int, what: str) -> None:
        if self._alone:  # one bar cannot show several trials
            self._channel.put(("start", (rows, done, what)))

    def advance(self, rows: int, errors: int) -> None:
        if self._alone:
            self._channel.put(("advance", (rows, errors)))


def _trial(config: dict[str, Any], *, request: TuneRequest, channel: Any, cores: int | None, alone: bool) -> None:
    """What Ray Tune runs for each trial."""
    from ray import tune as ray_tune

    end_with_parent()
    trial = request.plan()[config["number"]]

    def on_score(epoch: int, score: float) -> None:
        ray_tune.report({"epoch": epoch, "score": score})

    trials.run(request, trial, _Relay(channel, trial.name, alone=alone), on_score, cores)


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def _keep_best(board: Board, folder: Path, plan: list[Trial], watcher: Watcher) -> None:
    """Leave one bundle, that of the best trial, as `best`."""
    best = board.best
    if best is None:
        watcher.say("No trial is ranked, for all backbones began with random weights: no bundle is kept.")
    elif (made := best.trial.folder / trials.BUNDLE).exists():  # else it is there already
        shutil.rmtree(folder / BEST, ignore_errors=True)
        made.rename(folder / BEST)
    for trial in plan:
        shutil.rmtree(trial.folder / trials.BUNDLE, ignore_errors=True)
        (trial.folder / f"{RANDOM}.safetensors").unlink(missing_ok=True)
        for left in trial.folder.glob(f".{trials.BUNDLE}.*"):
            shutil.rmtree(left, ignore_errors=True)
