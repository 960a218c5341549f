"""Which epoch of a fine-tuning is the best one."""

from __future__ import annotations

from artylyze.training.checkpoints import Progress, score_of
from artylyze.training.loop import Sums


def test_the_epoch_that_is_right_more_often_is_better_though_it_is_too_sure() -> None:
    assert score_of(Sums((2.0,), (0.64,), (250,))) > score_of(Sums((1.2,), (0.59,), (250,)))


def test_of_epochs_that_are_right_as_often_the_one_with_less_loss_is_better() -> None:
    assert score_of(Sums((0.1,), (1.0,), (9,))) > score_of(Sums((0.2,), (1.0,), (9,)))


def test_a_task_without_held_out_images_counts_for_nothing() -> None:
    assert score_of(Sums((0.5, 0.0), (0.8, 0.0), (9, 0))) == score_of(Sums((0.5,), (0.8,), (9,)))
    assert score_of(Sums((0.0,), (0.0,), (0,))) == 0


def test_progress_keeps_the_score_of_each_epoch() -> None:
    progress = Progress()
    for accuracy in (0.5, 0.7, 0.6):
        progress.note(["genre"], Sums((1.0,), (0.9,), (9,)), Sums((1.0,), (accuracy,), (9,)))

    assert progress.score.index(max(progress.score)) == 1
    assert progress.curves["genre accuracy, held out"] == [0.5, 0.7, 0.6]
