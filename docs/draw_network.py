"""Draws the default network from the schema's defaults: `python docs/draw_network.py docs/images/network.svg`."""

from __future__ import annotations

import html
import sys
from pathlib import Path

from tsbench.recipe.schema import HyperparameterConfig, ModelConfig

WIDTH, BOX, LINE, GAP = 980, 420, 20, 18


def learned(model: ModelConfig) -> list[tuple[str, list[str]]]:
    """The parts of the learned branch, each with its lines."""
    convolution, encoder, attention = model.convolution, model.encoder, model.attention
    kernels = ", ".join(str(kernel) for kernel in convolution.kernels)
    dilations = ", ".join(str(convolution.dilation**block) for block in range(convolution.blocks))
    return [
        ("Stem", [f"averages of neighbouring steps: at most {model.stem.max_steps} are kept"]),
        (
            "Multi-scale convolutions",
            [
                f"kernels {kernels}, {convolution.channels} channels each, concatenated",
                "batch normalisation over valid steps, ReLU",
                f"{convolution.blocks} blocks, dilations {dilations}, residual",
            ],
        ),
        ("Averages of steps", [f"at most {encoder.max_steps} are kept"]),
        (
            f"{encoder.layers} bidirectional {encoder.type.upper()} layers",
            [f"{encoder.hidden_size} units in each direction", "y = g · LSTM(x) + x, where g begins at 0"],
        ),
        (
            "Self-attention" if attention.type == "single" else "Multi-head attention",
            ["softmax(Q Kᵀ / √d) V", "y = g · attention(x) + x, where g begins at 0"],
        ),
        (
            "Global max and average pooling",
            ["of the attended steps, and of the convolutions' output"],
        ),
        (
            "Classifier",
            [
                "batch normalisation of the pooled features",
                f"dense layer of {model.head.hidden_sizes[0]}: LayerNorm, GELU, dropout {model.dropout:g}",
                "softmax",
            ],
        ),
    ]


def computed(model: ModelConfig) -> list[tuple[str, list[str]]]:
    """The parts of the computed branch."""
    lines = {
        "minirocket": "MiniROCKET: shares of positive responses",
        "hydra": "Hydra: wins of competing random kernels",
    }
    return [
        ("Computed features", [lines.get(str(block), str(block)) for block in model.features.blocks]),
        ("Ridge regression in closed form", ["penalty and temperature by leave-one-out"]),
    ]


def draw() -> str:
    """The picture as SVG."""
    model = HyperparameterConfig().model
    left, right = learned(model), computed(model)
    parts: list[str] = []
    x_left, x_right, top = 40, WIDTH - BOX - 40, 80
    bottom_left = _column(parts, left, x_left, top)
    bottom_right = _column(parts, right, x_right, top)
    end = max(bottom_left, bottom_right) + 40
    middle_left, middle_right = x_left + BOX / 2, x_right + BOX / 2
    share = model.features.share
    for x, y, weight in ((middle_left, bottom_left, 1 - share), (middle_right, bottom_right, share)):
        parts.append(f'<path class="arrow" d="M{x} {y} V{end - 18} H{WIDTH / 2} V{end}"/>')
        parts.append(f'<text class="small" x="{x + 10}" y="{end - 24}">{weight:g}</text>')
    _box(parts, "Mean of the probabilities, averaged over the ensemble's networks", [], WIDTH / 2 - 310, end, 620)
    for x in (middle_left, middle_right):
        parts.append(f'<path class="arrow" d="M{WIDTH / 2} 50 V62 H{x} V{top}"/>')
    _box(parts, "Series: cases × channels × time steps", [], WIDTH / 2 - 200, 14, 400)
    height = end + 60
    style = (
        "text{font-family:system-ui,sans-serif;fill:#1c2333}.title{font-size:15px;font-weight:600}"
        ".small{font-size:13px}.box{fill:#eef2ff;stroke:#4051b5;stroke-width:1.2}"
        ".arrow{fill:none;stroke:#4051b5;stroke-width:1.4;marker-end:url(#tip)}"
    )
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#4051b5"/></marker></defs>'
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        'aria-label="The default network: a learned and a computed branch">'
    )
    back = f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>'
    return "\n".join([head, f"<style>{style}</style>", tip, back, *parts, "</svg>", ""])


def _column(parts: list[str], blocks: list[tuple[str, list[str]]], x: float, top: float) -> float:
    """Draws blocks below each other; returns where the last one ends."""
    y = top
    for number, (title, lines) in enumerate(blocks):
        if number:
            parts.append(f'<path class="arrow" d="M{x + BOX / 2} {y - GAP} V{y}"/>')
        y = _box(parts, title, lines, x, y, BOX) + GAP
    return y - GAP


def _box(parts: list[str], title: str, lines: list[str], x: float, y: float, width: float) -> float:
    height = 36 + LINE * len(lines)
    parts.append(f'<rect class="box" x="{x:g}" y="{y:g}" width="{width:g}" height="{height}" rx="6"/>')
    parts.append(f'<text class="title" x="{x + 14:g}" y="{y + 23:g}">{html.escape(title)}</text>')
    for number, line in enumerate(lines, start=1):
        text = html.escape(line)
        parts.append(f'<text class="small" x="{x + 14:g}" y="{y + 23 + LINE * number:g}">{text}</text>')
    return y + height


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(), encoding="utf-8")
