"""The peer of finetune.py: `python benchmarks/finetune_reference.py JOB.json`.

Training as torchvision's reference script has it (references/classification of pytorch/vision: train.py, presets.py),
with its defaults but for what the benchmark fixes: `--device cpu -b 32 --opt adamw --train-crop-size 180`, as many
loading workers as cores, and timm's model in place of one of torchvision's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode, v2

from benchmarks.finetune import BACKBONE, Job

RESIZE = 256 / 224
"""What the images are resized to before the centre is judged, as a multiple of what is cut out."""

PRINTED_EVERY = 10


def to_tensor(job: Job) -> list[Any]:
    return [v2.PILToTensor(), v2.ToDtype(torch.float, scale=True), v2.Normalize(job.mean, job.std), v2.ToPureTensor()]


def loaders(job: Job) -> tuple[Any, Any]:
    bilinear = InterpolationMode.BILINEAR
    learning = [v2.RandomResizedCrop(job.size, interpolation=bilinear, antialias=True), v2.RandomHorizontalFlip(0.5)]
    judging = [v2.Resize(round(job.size * RESIZE), interpolation=bilinear, antialias=True), v2.CenterCrop(job.size)]
    train = ImageFolder(f"{job.folders}/train", v2.Compose([*learning, *to_tensor(job)]), allow_empty=True)
    val = ImageFolder(f"{job.folders}/val", v2.Compose([*judging, *to_tensor(job)]), allow_empty=True)
    options: dict[str, Any] = {"batch_size": job.batch, "num_workers": job.workers, "pin_memory": True}
    return (
        DataLoader(train, sampler=RandomSampler(train), **options),
        DataLoader(val, sampler=SequentialSampler(val), **options),
    )


def accuracy(output: torch.Tensor, target: torch.Tensor) -> list[float]:
    """Top-1 and top-5, percent."""
    with torch.inference_mode():
        right = output.topk(5, 1)[1].t() == target[None]
        return [float(right[:k].flatten().sum() * (100.0 / len(target))) for k in (1, 5)]


def train_one_epoch(model: Any, criterion: Any, optimizer: Any, loader: Iterable[Any], device: torch.device) -> None:
    model.train()
    for step, (image, target) in enumerate(loader):
        image, target = image.to(device), target.to(device)
        output = model(image)
        loss = criterion(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        top1, top5 = accuracy(output, target)
        if step % PRINTED_EVERY == 0:
            print(f"{step}: loss {loss.item():.4f} acc1 {top1:.1f} acc5 {top5:.1f}")
        else:
            loss.item()


def evaluate(model: Any, criterion: Any, loader: Iterable[Any], device: torch.device) -> None:
    model.eval()
    with torch.inference_mode():
        for image, target in loader:
            image, target = image.to(device, non_blocking=True), target.to(device, non_blocking=True)
            output = model(image)
            criterion(output, target).item()
            accuracy(output, target)


def main(path: str) -> None:
    job = Job(**json.loads(Path(path).read_text()))
    torch.backends.cudnn.benchmark = True
    device = torch.device("cpu")
    train, val = loaders(job)
    model = timm.create_model(BACKBONE, num_classes=len(train.dataset.classes))
    model.load_state_dict(load_file(job.weights), strict=False)
    model.to(device)
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1)
    for epoch in range(job.epochs):
        train_one_epoch(model, criterion, optimizer, train, device)
        schedule.step()
        evaluate(model, criterion, val, device)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        Path(job.output).mkdir(exist_ok=True)
        for name in (f"model_{epoch}.pth", "checkpoint.pth"):
            torch.save(state, f"{job.output}/{name}")


if __name__ == "__main__":
    main(sys.argv[1])
