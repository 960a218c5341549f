"""Applies a bundle to images: OpenVINO on CPUs, torch on GPUs. Both answer `run(pixels) -> Outputs`."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from artylyze.errors import InputError, UsageError
from artylyze.models.bundle import output_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from numpy.typing import NDArray

    from artylyze.models.bundle import Bundle

    Pixels = NDArray[np.uint8]
    Device = Literal["cpu", "cuda"]
    Precision = Literal["float32", "bfloat16"]

GPU_BATCH = 256  # 38 MB of pixels; no other size was measured
TORCH_CPU_BATCH = 4  # the activations of 256 images would take gigabytes
NEAR = 0.02  # relative: what a CUDA graph may differ by from the kernels one by one, in bfloat16
# One thread at a time imports OpenVINO and infers first: its bindings deadlock where two are the first in a process.
_STARTING = threading.Lock()
# Without one of these no CUDA or ROCm device is usable on Unix: that answer spares the seconds torch takes to import.
_GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True)
class Outputs:
    """What a model says about n images."""

    embedding: NDArray[np.float32]  # (n, embedding_dim)
    logits: dict[str, NDArray[np.float32]]  # task -> (n, terms), not calibrated
    outside: NDArray[np.float32] | None = None  # (n,), as `artylyze.models.outside` has it, if the model knows that


class CpuRuntime:
    """A bundle on the CPU, by OpenVINO; needs neither torch nor timm. `threads` is the number of cores it may use.

    The graph is compiled for one image, and each image runs on one core: small networks take a seventh less time so
    than in batches of four, larger ones the same, and no image's outputs depend on what others came with it.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        if not bundle.onnx:
            raise InputError("the bundle was cut down for GPUs; load it again for the CPU")
        self._bundle, side = bundle, bundle.preprocessing.size
        names = output_names([task.name for task in bundle.tasks], outside=bundle.outside)
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._map = map if threads == 1 else ThreadPoolExecutor(threads).map
        with _STARTING:
            compiled = _compile(bundle.onnx, side, threads)
            self._shapes = {name: tuple(compiled.output(name).shape)[1:] for name in names}
            for _ in range(threads):
                self._requests.put(compiled.create_infer_request())
            self.run(np.zeros((1, side, side, 3), np.uint8))

    def run(self, pixels: Pixels) -> Outputs:
        """uint8 RGB (n, size, size, 3), n >= 1 -> Outputs for the n images, in order. Raises ValueError otherwise."""
        _check(pixels, self._bundle)
        arrays = {name: np.empty((len(pixels), *shape), np.float32) for name, shape in self._shapes.items()}

        def infer(row: int) -> None:
            request = self._requests.get()
            try:
                request.infer({0: pixels[row : row + 1]}, share_inputs=True)
                for name, array in arrays.items():
                    array[row] = request.get_tensor(name).data[0]
            finally:
                self._requests.put(request)

        for _ in self._map(infer, range(len(pixels))):
            pass
        return _outputs(self._bundle, list(arrays.values()))


class TorchRuntime:
    """A bundle in torch: on a GPU for speed, on the CPU (float32) as the reference that the others are tested against.

    On a GPU only bytes cross the bus: while one batch computes, the next is copied to pinned memory and sent on a
    stream of its own.
    """

    def __init__(
        self, bundle: Bundle, device: Device = "cuda", precision: Precision = "bfloat16", batch: int | None = None
    ) -> None:
        import torch

        from artylyze.models.network import build_network

        if not bundle.tensors:
            raise InputError("the bundle was cut down for the CPU; load it again for GPUs")
        self._bundle, self._device = bundle, torch.device(device)
        self._batch = batch or (GPU_BATCH if device == "cuda" else TORCH_CPU_BATCH)
        self._network = build_network(bundle)
        self._network.backbone.to(dtype=getattr(torch, precision))
        self._network.to(self._device).to(memory_format=torch.channels_last)
        if device == "cuda":
            shape = (self._batch, bundle.preprocessing.size, bundle.preprocessing.size, 3)
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            self._pinned = [torch.empty(shape, dtype=torch.uint8, pin_memory=True) for _ in range(2)]
            self._sent = [torch.cuda.Event() for _ in self._pinned]  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()  # buffers and graphs serve one call at a time
        self._forward: Callable[[torch.Tensor], tuple[torch.Tensor, ...]] = (
            _Graphs(self._network) if device == "cuda" else self._network
        )

    def run(self, pixels: Pixels) -> Outputs:
        """uint8 RGB (n, size, size, 3), n >= 1 -> Outputs for the n images, in order. Raises ValueError otherwise."""
        import torch

        _check(pixels, self._bundle)
        with self._lock, torch.inference_mode():
            sent = (
                self._send(pixels) if self._device.type == "cuda" else map(torch.tensor, _batches(pixels, self._batch))
            )
            # (n, size, size, 3) seen as (n, 3, size, size) is channels_last already: nothing moves.
            parts = [self._forward(part.permute(0, 3, 1, 2)) for part in sent]
            return _outputs(self._bundle, [torch.cat(tensors).cpu().numpy() for tensors in zip(*parts, strict=True)])

    def _send(self, pixels: Pixels) -> Iterator[torch.Tensor]:
        """Each batch on the device. Kernels are queued without waiting, so filling the next buffer overlaps them."""
        import torch

        compute = torch.cuda.current_stream()
        for number, part in enumerate(_batches(pixels, self._batch)):
            buffer, event = self._pinned[number % 2][: len(part)], self._sent[number % 2]
            event.synchronize()  # the copy that last read this buffer
            np.copyto(buffer.numpy(), part)
            with torch.cuda.stream(self._stream):
                on_device = buffer.to(self._device, non_blocking=True)
                event.record()
            compute.wait_event(event)
            on_device.record_stream(compute)  # its memory must outlive the kernels that read it
            yield on_device


class _Graphs:
    """A network on a GPU as CUDA graphs, one for each of the first few sizes of batches that come twice.

    A batch is then one launch. Launched one by one, its hundreds of kernels each wait for the interpreter's lock, for
    which the threads of a whole machine ask: the GPU waits for them. The graphs of a network share their memory, for
    they run one after the other and what they answer is copied.
    """

    MOST = 4
    CAPTURING = threading.Lock()
    """A process captures one graph at a time."""

    def __init__(self, network: torch.nn.Module) -> None:
        import torch

        self._network = network
        self._most = self.MOST
        self._stream, self._pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()  # type: ignore[no-untyped-call]
        self._seen: set[int] = set()
        self._captured: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor, tuple[torch.Tensor, ...]]] = {}

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the network answers, in tensors of its own."""
        count = len(images)
        if count not in self._captured and count in self._seen and len(self._captured) < self._most:
            self._capture(images)
        self._seen.add(count)
        if count not in self._captured:
            return self._one_by_one(images)
        graph, static, outputs = self._captured[count]
        static.copy_(images)
        graph.replay()
        return tuple(output.clone() for output in outputs)

    def _capture(self, images: torch.Tensor) -> None:
        import torch

        expected, static = self._one_by_one(images), images.clone()
        graph = torch.cuda.CUDAGraph()
        try:
            # A stream of its own: torch's default one belongs to the device that captured first in this process.
            with (
                self.CAPTURING,
                torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
            ):
                outputs = self._network(static)
        except RuntimeError:  # a network that looks at its values on the way cannot be captured
            torch.cuda.synchronize()
            self._most = 0
            return
        graph.replay()
        near = [(one - two).norm() <= NEAR * two.norm() for one, two in zip(outputs, expected, strict=True)]
        if all(map(bool, near)):
            self._captured[len(images)] = graph, static, outputs
        else:
            self._most = 0

    def _one_by_one(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Launch the kernels one by one; where the graphs left no memory for that, do without them."""
        import torch

        answer: tuple[torch.Tensor, ...]
        try:
            answer = self._network(images)
        except torch.OutOfMemoryError:
            if not self._captured:
                raise
            self._captured.clear()
            self._most = 0
            torch.cuda.empty_cache()
            answer = self._network(images)
        return answer


def resolve_device(device: str = "auto") -> Device:
    """'auto', 'cpu' or 'cuda' -> the device of this machine to use. Asking for 'cpu' imports nothing.

    Raises InputError where 'cuda' is asked for and there is no GPU that torch can use, UsageError for other words.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {device!r}: choose auto, cpu or cuda")
    if device == "cpu":
        return "cpu"
    if _cuda_is_available():
        return "cuda"
    if device == "cuda":
        raise InputError("torch finds no GPU here: use `device='cpu'`, or run where `nvidia-smi` lists one")
    return "cpu"


def resolve_precision(precision: str, device: Device) -> Precision:
    """'auto', 'float32' or 'bfloat16' -> the precision on `device`: auto is bfloat16 on GPUs, float32 on CPUs.

    Raises UsageError for bfloat16 on the CPU, where the exported model is float32, and for other words.
    """
    if precision == "auto":
        return "bfloat16" if device == "cuda" else "float32"
    if precision == "float32":
        return "float32"
    if precision != "bfloat16":
        raise UsageError(f"precision {precision!r}: choose auto, float32 or bfloat16")
    if device == "cpu":
        raise UsageError("bfloat16 needs a GPU: on a CPU the precision is float32")
    return "bfloat16"


def load_runtime(
    bundle: Bundle, device: str = "auto", precision: str = "auto", threads: int = 1
) -> CpuRuntime | TorchRuntime:
    """The runtime for `device`: OpenVINO with `threads` threads on the CPU, torch on a GPU. Raises as they do."""
    resolved = resolve_device(device)
    chosen = resolve_precision(precision, resolved)
    return CpuRuntime(bundle, threads) if resolved == "cpu" else TorchRuntime(bundle, resolved, chosen)


def _compile(graph: bytes, side: int, threads: int) -> Any:
    """Return OpenVINO's compiled model for images of `side` pixels, or raise InputError."""
    openvino = _import_openvino()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "ENABLE_CPU_PINNING": False,  # other processes have the same idea of which core is the first
        "INFERENCE_PRECISION_HINT": "f32",  # the default is bfloat16 or float16 where the cores have it
    }
    try:
        model = openvino.Core().read_model(graph)
        model.reshape([1, side, side, 3])
        return openvino.Core().compile_model(model, "CPU", settings)
    except RuntimeError as error:
        reason = str(error).strip().split("\n\n")[0].rpartition("\n")[2]  # above it are lines of its source
        raise InputError(f"OpenVINO cannot load the model ({reason}): build the bundle again") from error


def _import_openvino() -> Any:
    """Import OpenVINO without its tools that convert models: they take half of the time, and tell Google Analytics."""
    hidden = () if "openvino" in sys.modules else ("openvino.tools.ovc", "openvino_telemetry")
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # None: not to be imported
    try:
        import openvino
    finally:
        for name in hidden:
            del sys.modules[name]
    return openvino


def _cuda_is_available() -> bool:
    if sys.platform != "win32" and not any(Path(name).exists() for name in _GPU_FILES):
        return False
    import torch

    return torch.cuda.is_available()


def _check(pixels: Pixels, bundle: Bundle) -> None:
    size = bundle.preprocessing.size
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (size, size, 3) or len(pixels) == 0:
        raise ValueError(f"expected uint8 (n >= 1, {size}, {size}, 3), got {pixels.dtype} {pixels.shape}")


def _batches(pixels: Pixels, batch: int) -> Iterator[Pixels]:
    return (pixels[start : start + batch] for start in range(0, len(pixels), batch))


def _outputs(bundle: Bundle, arrays: list[NDArray[np.float32]]) -> Outputs:
    embedding, *logits = arrays
    outside = logits.pop() if bundle.outside else None
    by_task = {task.name: array for task, array in zip(bundle.tasks, logits, strict=True)}
    if cosines := [task.name for task in bundle.tasks if task.cosine]:
        lengths = np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        by_task |= {name: by_task[name] / lengths for name in cosines}
    return Outputs(embedding, by_task, outside)
