"""Exports a network to ONNX, for OpenVINO on CPUs."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from artylyze.models.bundle import output_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artylyze.models.bundle import Preprocessing
    from artylyze.models.network import Network

OPSET = 20  # when the graph below changes, raise GRAPH_VERSION of artylyze.models.bundle


class _FromImages(torch.nn.Module):
    """Turns (n, size, size, 3) into the input of the network.

    OpenVINO is as fast whether bytes are transposed or float32; ONNX Runtime is 4 to 24% faster with bytes, and
    `contiguous` avoids strided tensors in the graph. Folding the normalisation into the first convolution gained
    nothing.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs: tuple[torch.Tensor, ...] = self.network(pixels.permute(0, 3, 1, 2).contiguous())
        return outputs


def export_onnx(network: Network, preprocessing: Preprocessing, task_names: Sequence[str]) -> bytes:
    """Return the ONNX file (opset 20) of `network`, which must be in evaluation mode, float32 and on the CPU.

    Input `pixels` uint8 (n, size, size, 3), RGB; outputs `embedding` float32 (n, embedding_dim) and for each task, in
    the order of the heads, `logits_<task>` float32 (n, terms), and `outside` float32 (n,) if the network gives it; n is
    free. Weights are included, up to protobuf's limit of 2 GiB.
    """
    example = torch.zeros(2, preprocessing.size, preprocessing.size, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            _FromImages(network).eval(),
            (example,),
            input_names=["pixels"],
            output_names=output_names(task_names, outside=network.outside is not None),
            opset_version=OPSET,
            dynamic_shapes={"pixels": {0: torch.export.Dim("n")}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - only the legacy exporter returns None
    content: bytes = program.model_proto.SerializeToString()
    return content
