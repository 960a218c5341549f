"""artylyze's fine-tuning as a contestant of finetune.py: `python benchmarks/finetune_ours.py JOB.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from artylyze.datasets.dataset import read_dataset
from artylyze.progress import Reporter
from artylyze.training.finetune import finetune
from artylyze.training.request import TrainRequest
from benchmarks.finetune import BACKBONE, Job


def main(path: str) -> None:
    job = Job(**json.loads(Path(path).read_text()))
    request = TrainRequest(
        job.dataset,
        job.output,
        backbone=BACKBONE,
        weights=job.weights,
        mode="finetune",
        epochs=job.epochs,
        batch_size=job.batch,
        image_size=job.size,
        workers=job.workers,
        device="cpu",
        folds=job.folds,
    )
    with Reporter() as reporter:
        finetune(request, read_dataset(job.dataset), reporter)


if __name__ == "__main__":
    main(sys.argv[1])
