"""Build and explain every classifier, segmenter and detector of torchvision, and others of timm and transformers.

    python benchmarks/every_model.py [torchvision|timm|transformers] [NAME]…

Of timm a member of each family, of transformers five. Random weights, one small image. For each: Grad-CAM at
`last_conv`, where there is one, and the gradient at the input. A map must be finite and not zero everywhere. What fails
is printed with its one line; the last line counts.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import torch

import interpretkit as ik

TRANSFORMERS = {
    "vit": {"num_hidden_layers": 2},
    "swin": {"depths": [1, 1], "num_heads": [3, 6], "embed_dim": 24},
    "convnext": {"depths": [1, 1, 1, 1]},
    "dinov2": {"num_hidden_layers": 2, "image_size": 224},
    "clip_vision_model": {"num_hidden_layers": 2},
}
SIDES = (64, 128, 160, 224, 256, 299, 384, 518)


def torchvision_models() -> dict[str, dict[str, object]]:
    """Return the options of each network of torchvision."""
    from torchvision import models

    of_tasks = [models, models.segmentation, models.detection]
    names = [name for module in of_tasks for name in models.list_models(module)]
    detectors = set(models.list_models(models.detection))
    options: dict[str, dict[str, object]] = {}
    for name in names:
        options[name] = {"name": name}
        if name in detectors:
            options[name] |= {"num_classes": 4, "score_threshold": 0.0}
            if not name.startswith("ssd"):
                options[name] |= {"shorter_side": 128}
    return options


def timm_models() -> dict[str, dict[str, object]]:
    """Return the smallest network of each family of timm: the one of the shortest name that comes first."""
    import timm

    families: dict[str, str] = {}
    for name in sorted(timm.list_models(), key=lambda each: (len(each), each)):
        families.setdefault(timm.model_entrypoint(name).__module__.rpartition(".")[2], name)
    return {name: {"name": name} for name in sorted(families.values())}


def transformers_models() -> dict[str, dict[str, object]]:
    """Return networks of transformers, small by configuration."""
    return {name: {"architecture": name, "config": config} for name, config in TRANSFORMERS.items()}


def awaken(network: torch.nn.Module) -> None:
    """Give weights that are all zero random values: some heads start so, and then nothing leads to the score."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)


def fed(model: ik.Model) -> torch.Tensor:
    """Return an image of the smallest size that the network takes."""
    for side in SIDES:
        image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        try:
            with torch.no_grad():
                model.module.eval()(image)
        except Exception:  # noqa: BLE001, S112 - the next size is tried
            continue
        return image
    raise ik.InputError("it takes no size that was tried")


def explained(model: ik.Model) -> str:
    """Explain a network; return what came out in words."""
    awaken(model.module)
    image = fed(model)
    steps = {"gradient": ik.step("saliency")}
    if "last_conv" in model.aliases:
        steps["cam"] = ik.step("grad_cam", layers=["last_conv"])
    found = ik.visualize(model, image, steps)
    words = []
    for name, result in found.items():
        for cells in result.maps.values():
            if not np.isfinite(cells.values).all() or not cells.values.any():
                raise ik.StepError(f"{name}: the map is zero everywhere, or not finite")
            words.append(f"{name} {'×'.join(map(str, cells.values.shape[1:]))}")
    return ", ".join(words)


def main() -> None:
    """Try all, or those that are named."""
    warnings.simplefilter("ignore")
    sources = {"torchvision": torchvision_models, "timm": timm_models, "transformers": transformers_models}
    wanted = [name for name in sys.argv[1:] if name in sources] or list(sources)
    named = [name for name in sys.argv[1:] if name not in sources]
    tried = failed = without = 0
    for source in wanted:
        for name, options in sources[source]().items():
            if named and name not in named:
                continue
            tried += 1
            try:
                model = ik.load_model(source, device="cpu", **options)
                without += "last_conv" not in model.aliases
                print(f"{source} {name}: {explained(model)}", flush=True)
            except ik.InterpretkitError as error:
                failed += 1
                print(f"{source} {name}: FAILED: {error}", flush=True)
    print(f"{tried} tried, {failed} failed, {without} without a layer for Grad-CAM")


if __name__ == "__main__":
    main()
