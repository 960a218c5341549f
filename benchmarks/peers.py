"""The peers, each written the way its own documentation says. Run by tag.py: `python peers.py NAME JOB.json`.

Every peer reads the files of one folder, decodes them, resizes to 224 x 224, normalises, embeds with the same timm
model in float32, and writes (path, embedding) to Parquet. Nothing is imported that the peer does not need.

dataloader  torch.utils.data.Dataset and DataLoader, torchvision transforms
            https://docs.pytorch.org/tutorials/beginner/basics/data_tutorial.html
            https://docs.pytorch.org/docs/stable/notes/autograd.html#inference-mode
draft       the same with Pillow's draft, which JPEG decoders honour
            https://pillow.readthedocs.io/en/stable/reference/Image.html#PIL.Image.Image.draft
ray         read_binary_files, map, map_batches with a class, write_parquet
            https://docs.ray.io/en/latest/data/batch_inference.html and .../data/working-with-images.html
            (and image_classification/ray_data_main.py of Ray's own multimodal benchmarks)
daft        from_glob_path, download, decode_image, resize, a class with a batch method, write_parquet
            https://docs.daft.ai/en/stable/custom-code/cls/ and .../modalities/images/
            (and benchmarking/ai/image_classification/daft_main.py of Daft's own benchmarks)
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BATCH = 32
SIZE = 224
PACKAGES = {"daft": ("daft", "daft")}
"""Of the peers that do not come with artylyze: module, and package that brings it."""


@dataclass(frozen=True)
class Job:
    """What a contestant is told.

    Attributes:
        folder: of images, flat.
        out: folder to write to, not there yet.
        backbone: a timm name.
        weights: safetensors file of it.
        bundle: folder of artylyze's bundle with the same weights.
        mean: of each channel, in 0 to 1.
        std: of each channel.
        cores: processor cores to use.
        options: for one contestant only.
    """

    folder: str
    out: str
    backbone: str
    weights: str
    bundle: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    cores: int
    options: dict[str, Any]


def read_job(path: str) -> Job:
    return Job(**json.loads(Path(path).read_text()))


def paths_of(job: Job) -> list[str]:
    return sorted(str(path) for path in Path(job.folder).iterdir())


def load_model(job: Job) -> Any:
    import timm

    return timm.create_model(job.backbone, num_classes=0, checkpoint_path=job.weights).eval()


def transforms_of(job: Job) -> Any:
    from torchvision import transforms

    return transforms.Compose(
        [transforms.Resize((SIZE, SIZE)), transforms.ToTensor(), transforms.Normalize(job.mean, job.std)]
    )


class Pictures:
    """A map-style torch dataset: (index, tensor) of each picture."""

    def __init__(self, paths: list[str], transform: Any, *, draft: bool) -> None:
        self._paths, self._transform, self._draft = paths, transform, draft

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        from PIL import Image

        with Image.open(self._paths[index]) as image:
            if self._draft:
                image.draft("RGB", (SIZE, SIZE))
            return index, self._transform(image.convert("RGB"))


def dataloader(job: Job, *, draft: bool = False) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from torch.utils.data import DataLoader

    paths, model = paths_of(job), load_model(job)
    pictures: Any = Pictures(paths, transforms_of(job), draft=draft)
    done: list[str] = []
    embeddings: list[Any] = []
    with torch.inference_mode():
        for indices, pixels in DataLoader(pictures, batch_size=BATCH, num_workers=job.cores):
            embeddings.extend(model(pixels).numpy())
            done.extend(paths[index] for index in indices.tolist())
    Path(job.out).mkdir()
    pq.write_table(pa.table({"path": done, "embedding": embeddings}), f"{job.out}/part.parquet")


class RayEmbedder:
    """Holds the model in a Ray actor."""

    def __init__(self, job: Job) -> None:
        self._model = load_model(job)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import torch

        with torch.inference_mode():
            embedding = self._model(torch.from_numpy(batch["pixels"])).numpy()
        return {"path": batch["path"], "embedding": embedding}


def ray_data(job: Job) -> None:
    import io

    import ray
    from PIL import Image

    transform = transforms_of(job)

    def preprocess(row: dict[str, Any]) -> dict[str, Any]:
        image = Image.open(io.BytesIO(row["bytes"])).convert("RGB")
        return {"path": row["path"], "pixels": transform(image).numpy()}

    (
        ray.data.read_binary_files(job.folder, include_paths=True)
        .map(preprocess)
        .map_batches(
            RayEmbedder,  # on two cores one actor leaves the other to read and map; two at 0.5 CPUs were no faster
            fn_constructor_args=(job,),
            batch_size=BATCH,
            compute=ray.data.ActorPoolStrategy(size=1),
        )
        .write_parquet(job.out)
    )


def daft_frame(job: Job) -> None:
    import daft
    from daft import DataType, col
    from daft.functions import decode_image, download, resize

    @daft.cls
    class Embedder:
        def __init__(self, job: Job) -> None:
            import torch

            # Daft runs one instance per core, and torch would start as many threads in each: measured 10 % slower.
            torch.set_num_threads(1)
            self._model = load_model(job)
            self._mean = torch.tensor(job.mean).view(3, 1, 1)
            self._std = torch.tensor(job.std).view(3, 1, 1)

        @daft.method.batch(return_dtype=DataType.list(DataType.float32()), batch_size=BATCH)
        def embed(self, images: daft.Series) -> Any:
            import numpy as np
            import torch

            if len(images) == 0:
                return []
            pixels = torch.from_numpy(np.array(images.to_pylist())).permute(0, 3, 1, 2).float() / 255
            with torch.inference_mode():
                return list(self._model((pixels - self._mean) / self._std).numpy())

    frame = daft.from_glob_path(f"{job.folder}/*")
    image = resize(decode_image(download(col("path")), on_error="null"), SIZE, SIZE)
    frame = frame.with_column("image", image).where(col("image").not_null())
    embedder: Any = Embedder(job)
    frame.select(col("path"), embedder.embed(col("image")).alias("embedding")).write_parquet(job.out)


def main(name: str, job: Job) -> None:
    if name == "ray":
        ray_data(job)
    elif name == "daft":
        daft_frame(job)
    else:
        dataloader(job, draft=name == "draft")


if __name__ == "__main__":
    main(sys.argv[1], read_job(sys.argv[2]))
