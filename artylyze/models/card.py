"""CARD.md: what a bundle is, for the people who decide whether to use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artylyze.models.bundle import Bundle


def render_card(bundle: Bundle) -> str:
    """The model card of `bundle`, in Markdown."""
    preprocessing = bundle.preprocessing
    lines = [
        f"# artylyze model {bundle.model_id}",
        "",
        f"- Backbone: `{bundle.backbone}` (timm), embeddings of {bundle.embedding_dim} numbers",
        f"- Input: RGB squares of {preprocessing.size} x {preprocessing.size} pixels, 8 bits a channel",
        f"- Normalisation, inside the model: mean {preprocessing.mean}, std {preprocessing.std}",
        f"- Training data: {bundle.training_data or 'none of ours: the backbone as it was published'}",
    ]
    for task in bundle.tasks:
        lines += [
            "",
            f"## {task.name}",
            "",
            f"Terms ({len(task.terms)}): {', '.join(task.terms)}.",
            "",
            f"Scores are softmax(logits / {task.temperature:g}); below {task.review_threshold:g} an image is marked "
            "for review. A score says how sure the model is among these terms only: a work that is none of them still "
            "gets one.",
        ]
    if bundle.metrics:
        lines += ["", "## Metrics", "", "```json", json.dumps(dict(bundle.metrics), indent=2), "```"]
    return "\n".join(lines) + "\n"
