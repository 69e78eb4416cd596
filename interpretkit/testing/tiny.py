"""A tiny model, images for it, and a run of it: to test on, not to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpretkit.engine.carry_out import carry_out
from interpretkit.model.model import Model
from interpretkit.model.outputs.classes import Classes

if TYPE_CHECKING:
    from interpretkit.runs.run import Run

SIZE = 16

_RECIPE = """schema: interpretkit/1
name: tiny
model: {uses: tiny}
inputs: [images]
steps:
  - {id: brightness, uses: tiny_brightness}
"""


def tiny_model(*, classes: int = 3, seed: int = 0) -> Model:
    """Return an untrained two-layer classifier of 16×16 images; layers `features` (4×8×8) and `pool`, `head`.

    Its ReLU works in place, as many networks' do.

    Example:
        >>> print(tiny_model().layers("features", size=(16, 16)))
        layer     kind        output  stride  receptive field  parameters
        features  Sequential  4×8×8        2                3         112
    """
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential()
        module.add_module("features", nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(inplace=True)))
        module.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        module.add_module("head", nn.Linear(4, classes))
    names = tuple(f"class {index}" for index in range(classes))
    return Model(
        module=module.eval(),
        name="tiny",
        outputs={"classes": Classes(names=names, returns="logits")},
        notes=("untrained",),
    )


def tiny_images(count: int = 4, *, seed: int = 0) -> Any:
    """Return seeded random images `(image, channel, y, x)` = `(count, 3, 16, 16)` as `tiny_model` is fed."""
    import torch

    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def tiny_run(folder: str | Path) -> Run:
    """Carry out a recipe of one step on two images in a folder, and return the sealed run: maps, a table, figures.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = tiny_run(folder)
        ...     run.status, list(run.results["brightness"].maps)
        ('complete', ['input'])
    """
    from PIL import Image

    folder = Path(folder)
    images = folder / "images"
    images.mkdir(parents=True)
    for name, colour in {"dark": (10, 20, 30), "bright": (200, 210, 220)}.items():
        Image.new("RGB", (SIZE, SIZE), colour).save(images / f"{name}.png")
    (folder / "recipe.yaml").write_text(_RECIPE, encoding="utf-8")
    plugin = Path(__file__).with_name("tiny_plugin.py")
    done = carry_out(folder / "recipe.yaml", images=[str(images)], output=folder / "runs", plugins=[plugin])
    return done.run
