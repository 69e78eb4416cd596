"""Train the network of `uses: digits`, and write its weights, its samples and a record of how.

    pip install -e . scikit-learn
    python training/digits.py --out plugins/interpretkit_repvgg --samples interpretkit/inputs/samples/digits

About six minutes on two cores. The same machine and versions give the same weights, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import PIL
import sklearn
import torch
from clutter import Cluttered, make
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from interpretkit_repvgg.digits import DEPTHS, MEAN, STD, WIDTHS
from interpretkit_repvgg.network import RepVGG
from interpretkit_repvgg.variants import custom

SEED = 0
BATCH = 50
PER_EPOCH = 1400
HELD_OUT = 2000
SAMPLES_OF_EACH = 3


def fed(images: np.ndarray) -> torch.Tensor:
    """Return images `(image, y, x)` uint8 as the network is fed."""
    return ((torch.from_numpy(images).float() / 255 - MEAN) / STD)[:, None]


def train(epochs: int, seed: int) -> tuple[RepVGG, list[float]]:
    """Train on digits that are placed anew in every epoch; return the network and the loss of each."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(mode=True)
    network = RepVGG(custom(DEPTHS, WIDTHS), num_classes=10, in_channels=1)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    steps = epochs * PER_EPOCH // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    losses = []
    for epoch in range(epochs):
        data = make(PER_EPOCH, held_out=False, seed=1000 * seed + epoch)
        images, labels = fed(data.images), torch.from_numpy(data.labels).long()
        network.train()
        summed = 0.0
        for start in range(0, PER_EPOCH, BATCH):
            batch = slice(start, start + BATCH)
            loss = nn.functional.cross_entropy(network(images[batch]), labels[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            summed += float(loss.detach()) * BATCH / PER_EPOCH
        losses.append(summed)
        print(f"epoch {epoch + 1} of {epochs}: loss {summed:.3f}", flush=True)
    return network.eval(), losses


def accuracy(network: RepVGG, data: Cluttered) -> float:
    """Return the share of images whose digit is found."""
    right = []
    with torch.no_grad():
        for start in range(0, len(data.labels), 100):
            found = network(fed(data.images[start : start + 100])).argmax(1).numpy()
            right.append(found == data.labels[start : start + 100])
    return float(np.concatenate(right).mean())


def write_samples(folder: Path) -> None:
    """Write some held-out images of each digit, their masks, and a manifest."""
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    data = make(HELD_OUT, held_out=True, seed=SEED + 1)
    rows = ["path,label,mask"]
    for digit in range(10):
        for number, index in enumerate(np.flatnonzero(data.labels == digit)[:SAMPLES_OF_EACH]):
            name = f"{digit}{'abc'[number]}.png"
            Image.fromarray(data.images[index]).save(folder / name, optimize=True)
            Image.fromarray(data.masks[index]).save(folder / "masks" / name, optimize=True)
            rows.append(f"{name},{digit},masks/{name}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")


def main() -> None:
    """Train, and write the weights with their record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="the folder for weights and record")
    parser.add_argument("--samples", type=Path, help="the folder for sample images")
    parser.add_argument("--epochs", type=int, default=60)
    arguments = parser.parse_args()
    if arguments.samples:
        write_samples(arguments.samples)
    if arguments.out is None:
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    network, losses = train(arguments.epochs, SEED)
    state = {
        name: (each.half() if each.is_floating_point() else each).contiguous()
        for name, each in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    network.load_state_dict(state, strict=False)
    held_out = make(HELD_OUT, held_out=True, seed=SEED)
    record = {
        "depths": DEPTHS,
        "widths": WIDTHS,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "seed": SEED,
        "epochs": arguments.epochs,
        "images_per_epoch": PER_EPOCH,
        "loss": [round(loss, 4) for loss in losses],
        "held_out_images": HELD_OUT,
        "held_out_accuracy_as_float16": accuracy(network, held_out),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "pillow": PIL.__version__}
        | {"scikit-learn": sklearn.__version__, "python": platform.python_version()},
    }
    save_file(state, arguments.out / "digits.safetensors", metadata={"format": "pt", "licence": "MIT"})
    (arguments.out / "digits.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps({key: record[key] for key in ("parameters", "held_out_accuracy_as_float16", "minutes")}))


if __name__ == "__main__":
    main()
