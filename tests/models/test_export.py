from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from artylyze.models.backbones import load_backbone
from artylyze.models.build import build_bundle
from artylyze.models.bundle import Bundle, Task
from artylyze.models.export import OPSET
from artylyze.models.taps import extract


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "taps"),
    [("mobilenetv2_100", (0, 1, 2, 3)), ("densenet121", (1, 4)), ("vgg16", ()), ("cnn3", (0, 2)), ("test_vit", (0,))],
)
def test_the_graph_computes_what_torch_computes(name: str, taps: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    backbone = load_backbone(name, pretrained=False, size=64, taps=taps)
    head = random.normal(size=(3, backbone.feature_dim)) / backbone.feature_dim**0.5, random.normal(size=3)
    bundle = build_bundle(backbone, [Task("genre", ("a", "b", "c"))], {"genre": head})
    pixels = random.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)

    embedding, logits = onnxruntime.InferenceSession(bundle.onnx).run(None, {"pixels": pixels})

    mean, std = np.array(backbone.preprocessing.mean), np.array(backbone.preprocessing.std)
    normalised = torch.from_numpy(((pixels / 255 - mean) / std).astype(np.float32)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        pooled, features = backbone.module(normalised).numpy(), extract(backbone.module, normalised, taps).numpy()
    np.testing.assert_allclose(embedding, pooled, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(logits, features @ head[0].T + head[1], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_only_an_embedding_that_is_a_part_of_the_features_is_cut_out(
    small_bundle: Bundle, tapped_bundle: Bundle
) -> None:
    assert "Slice" not in {node.op_type for node in onnx.load_from_string(small_bundle.onnx).graph.node}
    (embedding, *_) = onnxruntime.InferenceSession(tapped_bundle.onnx).get_outputs()
    assert embedding.shape == ["n", small_bundle.embedding_dim]


@pytest.mark.slow
def test_the_offline_graph_computes_what_timm_computes(offline_bundle: Bundle) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)

    (embedding,) = onnxruntime.InferenceSession(offline_bundle.onnx).run(None, {"pixels": pixels})

    with torch.inference_mode():
        normalised = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
        expected = load_backbone("tf_efficientnet_lite0").module(normalised).numpy()
    np.testing.assert_allclose(embedding, expected, atol=1e-4, rtol=1e-4)


def test_the_interface_is_bytes_in_and_named_float32_out(small_bundle: Bundle) -> None:
    session = onnxruntime.InferenceSession(small_bundle.onnx)

    assert [(put.name, put.type, put.shape) for put in session.get_inputs()] == [
        ("pixels", "tensor(uint8)", ["n", 64, 64, 3])
    ]
    assert [(put.name, put.type, put.shape) for put in session.get_outputs()] == [
        ("embedding", "tensor(float)", ["n", small_bundle.embedding_dim]),
        ("logits_type", "tensor(float)", ["n", 3]),
        ("logits_keys", "tensor(float)", ["n", 2]),
    ]


def test_the_opset_is_the_stated_one(small_bundle: Bundle) -> None:
    model = onnx.load_from_string(small_bundle.onnx)

    assert {imported.domain: imported.version for imported in model.opset_import}[""] == OPSET


@pytest.mark.slow
def test_the_norms_are_folded_into_the_convolutions(offline_bundle: Bundle) -> None:
    operators = {node.op_type for node in onnx.load_from_string(offline_bundle.onnx).graph.node}

    assert operators.isdisjoint({"BatchNormalization", "Pad"})
