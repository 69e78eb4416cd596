"""Load what training tools write: one line for each file, with the largest difference to the tool's own logits.

    python benchmarks/checkpoints.py [TOOL]…

Each tool trains a small network for a step, or as much as it needs to write its files, and writes them as its users do.
What a tool would not load back as weights alone must be refused in one line, which is printed. Tools that are not
installed are left out and named; of lightning and accelerate, `pip install lightning accelerate` brings them.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import pickle
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

import interpretkit as ik

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TORCHVISION = {"name": "shufflenet_v2_x0_5", "num_classes": 3}
TIMM = {"name": "mobilenetv3_small_050", "num_classes": 3}
REPVGG = {"variant": "custom", "depths": [1, 1, 1, 1], "widths": [4, 4, 4, 8], "num_classes": 3}
IMAGES = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 1])
LARGEST = 1e-4
"""A difference of logits that rounding explains."""


@dataclass(frozen=True)
class Case:
    """A file or folder, the network as the tool has it, and how a recipe would name its weights.

    Attributes:
        what: What was saved.
        path: Where.
        net: The network whose logits are right; None where the file is to be refused.
        uses: The builder, with its options.
        weights: What is said of the weights beside their path.
    """

    what: str
    path: Path
    net: nn.Module | None
    uses: tuple[str, dict[str, Any]] = ("torchvision", TORCHVISION)
    weights: dict[str, Any] = field(default_factory=dict)


def network(kind: str = "torchvision") -> nn.Module:
    """Return a small classifier of a library, on whose weights a step has been taken."""
    torch.manual_seed(1)
    if kind == "torchvision":
        from torchvision import models

        net: nn.Module = models.get_model(TORCHVISION["name"], weights=None, num_classes=3)
    elif kind == "timm":
        import timm

        net = timm.create_model(TIMM["name"], num_classes=3)
    else:
        net = ik.load_model("repvgg", device="cpu", **REPVGG).module
    return stepped(net)


def stepped(net: nn.Module) -> nn.Module:
    """Take a step of training, so that no weight or statistic is as it was initialised."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    returned = net.train()(IMAGES)
    nn.functional.cross_entropy(returned, LABELS).backward()
    optimizer.step()
    net.zero_grad(set_to_none=True)
    return net.eval()


def of_lightning(folder: Path) -> Iterator[Case]:
    """Yield what a Trainer writes: checkpoints with and without optimizers, averaged weights."""
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters({"lr": 0.01, "names": ["a", "b", "c"]})
            self.model = network()
            self.loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 1.0]))

        def training_step(self, batch: Any, _index: int) -> torch.Tensor:
            return self.loss(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters())

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(IMAGES, LABELS), batch_size=4)

    def trained(name: str, **settings: Any) -> tuple[nn.Module, Path]:
        keep = ModelCheckpoint(dirpath=folder / name, filename="last", **settings.pop("keep", {}))
        module = Classifier()
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
        callbacks = [keep, *settings.pop("callbacks", [])]
        lightning.Trainer(max_epochs=1, callbacks=callbacks, default_root_dir=folder, **quiet, **settings).fit(
            module, data
        )
        return module.model.eval(), folder / name / "last.ckpt"

    net, path = trained("whole")
    yield Case("Trainer.fit, ModelCheckpoint", path, net)
    net, path = trained("weights", keep={"save_weights_only": True})
    yield Case("save_weights_only", path, net)
    net, path = trained("averaged", callbacks=[WeightAveraging()])
    yield Case("WeightAveraging: state_dict", path, net, weights={"key": "state_dict"})


def of_accelerate(folder: Path) -> Iterator[Case]:
    """Yield the folders of `save_state` and `save_model`, also in several files and as pickles."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    net = network()
    prepared, _ = accelerator.prepare(net, torch.optim.SGD(net.parameters(), lr=0.1))
    accelerator.save_state(folder / "state")
    yield Case("save_state", folder / "state", net)
    accelerator.save_state(folder / "pickled", safe_serialization=False)
    yield Case("save_state, safe_serialization=False", folder / "pickled", net)
    accelerator.save_model(prepared, folder / "model")
    yield Case("save_model", folder / "model", net)
    accelerator.save_model(prepared, folder / "shards", max_shard_size="500KB")
    yield Case("save_model, max_shard_size", folder / "shards", net)
    accelerator.save_model(prepared, folder / "shards_pickled", max_shard_size="500KB", safe_serialization=False)
    yield Case("save_model, max_shard_size, safe_serialization=False", folder / "shards_pickled", net)


def of_timm(folder: Path) -> Iterator[Case]:
    """Yield what its train.py writes by CheckpointSaver, and what is pushed to the hub."""
    import timm
    from timm.models import save_for_hf
    from timm.utils import CheckpointSaver, ModelEmaV3

    uses = ("timm", TIMM)
    net = network("timm")
    averaged = ModelEmaV3(net, decay=0.5)
    averaged.update(stepped(net))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    args = argparse.Namespace(model=TIMM["name"], lr=0.1, mean=(0.5, 0.5, 0.5))
    saver = CheckpointSaver(
        net, optimizer, args, model_ema=averaged, checkpoint_dir=str(folder), recovery_dir=str(folder)
    )
    saver.save_checkpoint(3, metric=50.0)
    yield Case("CheckpointSaver: state_dict", folder / "last.pth.tar", net, uses, {"key": "state_dict"})
    ema = averaged.module.eval()
    yield Case("CheckpointSaver: state_dict_ema", folder / "last.pth.tar", ema, uses, {"key": "state_dict_ema"})
    yield Case("CheckpointSaver, no key said", folder / "last.pth.tar", None, uses)
    save_for_hf(net, folder / "hub", safe_serialization="both")
    yield Case("save_for_hf", folder / "hub", net, uses)
    yield Case("save_for_hf, the pickle", folder / "hub" / "pytorch_model.bin", net, uses)
    fused = timm.utils.reparameterize_model(stepped(timm.create_model("mobileone_s0", num_classes=3)))
    torch.save(fused.state_dict(), folder / "fused.pth")
    deploy = {"name": "mobileone_s0", "num_classes": 3, "form": "deploy"}
    yield Case("reparameterize_model", folder / "fused.pth", fused, ("timm", deploy))


def of_torchvision(folder: Path) -> Iterator[Case]:
    """Yield what the train.py of its references writes."""
    net = network()
    averaged = torch.optim.swa_utils.AveragedModel(net, use_buffers=True)
    averaged.update_parameters(net)
    written = {
        "model": net.state_dict(),
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9).state_dict(),
        "lr_scheduler": {"last_epoch": 3, "_last_lr": [0.1]},
        "epoch": 3,
        "args": argparse.Namespace(model="shufflenet", output_dir=Path("runs")),
        "model_ema": averaged.state_dict(),
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
    }
    torch.save(written, folder / "checkpoint.pth")
    yield Case("train.py: model", folder / "checkpoint.pth", net, weights={"key": "model"})
    yield Case("train.py: model_ema", folder / "checkpoint.pth", averaged.module.eval(), weights={"key": "model_ema"})


def of_transformers(folder: Path) -> Iterator[Case]:
    """Yield what save_pretrained writes, also in several files."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    small = {"num_hidden_layers": 2, "hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 64}
    config = ViTConfig(**small, image_size=64, patch_size=16, num_labels=3)
    net = ViTForImageClassification(config).eval()
    net.save_pretrained(folder / "whole")
    net.save_pretrained(folder / "shards", max_shard_size="60KB")
    for name in ("whole", "shards"):
        ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder / name)
        yield Case(f"save_pretrained: {name}", folder / name, net, ("transformers", {"name": str(folder / name)}))


def of_torch(folder: Path) -> Iterator[Case]:
    """Yield what torch.save writes of plain, wrapped, compiled and averaged networks, in both layouts."""
    net = network()

    def saved(name: str, thing: object, **settings: Any) -> Path:
        torch.save(thing, folder / name, **settings)
        return folder / name

    yield Case("state_dict", saved("plain.pth", net.state_dict()), net)
    legacy = saved("legacy.pth", net.state_dict(), _use_new_zipfile_serialization=False)
    yield Case("state_dict, the layout before 1.6", legacy, net)
    yield Case("DataParallel", saved("parallel.pth", nn.DataParallel(net).state_dict()), net)
    compiled = torch.compile(net, backend="eager")
    yield Case("compile", saved("compiled.pth", compiled.state_dict()), net)
    averaged = torch.optim.swa_utils.AveragedModel(net, use_buffers=True)
    yield Case("AveragedModel", saved("averaged.pth", averaged.state_dict()), net)
    half = {name: each.half() if each.is_floating_point() else each for name, each in net.state_dict().items()}
    rounded = copy.deepcopy(net)
    rounded.load_state_dict(half)
    yield Case("state_dict in half precision", saved("half.pth", half), rounded)
    yield Case("the whole network", saved("network.pth", net), None)
    torch.jit.trace(net, IMAGES).save(folder / "traced.pt")
    yield Case("jit.trace", folder / "traced.pt", None)
    torch.export.save(torch.export.export(net, (IMAGES,)), folder / "exported.pt2")
    yield Case("export.save", folder / "exported.pt2", None)
    import torch.distributed.checkpoint as dcp

    dcp.save({"model": net.state_dict()}, checkpoint_id=folder / "distributed")
    yield Case("distributed.checkpoint", folder / "distributed", None)


def of_scripts(folder: Path) -> Iterator[Case]:
    """Yield the layouts of scripts that many start from: DINO, CIFAR, MMPretrain, fastai, the authors of RepVGG."""
    net, uses = network("repvgg"), ("repvgg", REPVGG)

    def saved(name: str, thing: object) -> Path:
        torch.save(thing, folder / name)
        return folder / name

    def under(prefix: str) -> dict[str, torch.Tensor]:
        return {prefix + name: tensor for name, tensor in net.state_dict().items()}

    dino = {
        "student": under("module.backbone."),
        "teacher": under("backbone."),
        "dino_loss": {"center": torch.ones(1, 9)},
    }
    yield Case("DINO: teacher", saved("dino.pth", dino), net, uses, {"key": "teacher"})
    cifar = {"net": under("module."), "acc": 93.1, "epoch": 3}
    yield Case("CIFAR", saved("cifar.pth", cifar), net, uses)
    best = {"state_dict": under(""), "best_acc1": np.float64(93.1), "arch": "RepVGG", "optimizer": {"state": {}}}
    yield Case("imagenet/main.py", saved("best.pth.tar", best), net, uses)
    fastai = {"model": under(""), "opt": {"hypers": [{"lr": 0.1}], "state": []}}
    yield Case("fastai: learn.save", saved("fastai.pth", fastai), net, uses)
    mm = {
        "meta": {"seed": 0, "CLASSES": ("a", "b", "c")},
        "state_dict": under("backbone."),
        "message_hub": {"log": [1.0]},
    }
    yield Case("MMEngine", saved("epoch_1.pth", mm), net, uses)
    profiled = under("") | {"total_ops": torch.ones(1), "stage1.total_params": torch.ones(1)}
    yield Case("thop", saved("profiled.pth", profiled), net, uses)


def of_safetensors(folder: Path) -> Iterator[Case]:
    """Yield a file with metadata, and one as `interpretkit convert` writes it."""
    from safetensors.torch import save_file

    net = network()
    save_file(net.state_dict(), folder / "model.safetensors", metadata={"format": "pt", "epoch": "3"})
    yield Case("save_file with metadata", folder / "model.safetensors", net)
    trained = network("repvgg")
    torch.save({"state_dict": trained.state_dict()}, folder / "trained.pth")
    ik.convert(folder / "trained.pth", folder / "deploy.safetensors", model="repvgg", options=REPVGG)
    deploy = ("repvgg", {**REPVGG, "form": "deploy"})
    yield Case("interpretkit convert", folder / "deploy.safetensors", trained, deploy)


def of_others(folder: Path) -> Iterator[Case]:
    """Yield what is no checkpoint of torch, though its name says so."""
    weights = {"model": {"conv1.weight": np.zeros((2, 3))}, "__author__": "somebody"}
    (folder / "detectron.pkl").write_bytes(pickle.dumps(weights))
    yield Case("Detectron: numpy arrays in a pickle", folder / "detectron.pkl", None)
    (folder / "keras.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200))
    yield Case("Keras: HDF5", folder / "keras.h5", None)
    (folder / "model.onnx").write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x052.0.0:" + bytes(100))
    yield Case("ONNX", folder / "model.onnx", None)
    (folder / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n")
    yield Case("Git LFS: a pointer", folder / "pointer.pth", None)


TOOLS: dict[str, Callable[[Path], Iterator[Case]]] = {
    "torch": of_torch,
    "torchvision": of_torchvision,
    "timm": of_timm,
    "lightning": of_lightning,
    "accelerate": of_accelerate,
    "transformers": of_transformers,
    "safetensors": of_safetensors,
    "scripts": of_scripts,
    "others": of_others,
}


def logits(net: nn.Module) -> torch.Tensor:
    """Return the logits of a network, whatever it puts them into."""
    with torch.no_grad():
        returned = net.eval()(IMAGES)
    found: torch.Tensor = returned if isinstance(returned, torch.Tensor) else returned.logits
    return found


def loaded(case: Case) -> str:
    """Load a file and return what came of it, in words; the difference first."""
    name, options = case.uses
    try:
        model = ik.load_model(name, weights={"path": str(case.path), **case.weights}, device="cpu", **options)
    except ik.InterpretkitError as error:
        told = str(error).removeprefix(f"{case.path}: ")
        return f"{'refused' if case.net is None else 'NOT LOADED'}: {told}"
    if case.net is None:
        return "LOADED, though nobody could say what it is"
    difference = float((logits(model.module) - logits(case.net)).abs().max())
    return f"{difference:.1e}"


def main() -> None:
    """Print a line for each file, then how many were right."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=", ".join(TOOLS))
    asked = parser.parse_args().tools or TOOLS
    warnings.simplefilter("ignore")
    right = total = 0
    for tool in asked:
        if tool not in ("scripts", "others") and importlib.util.find_spec(tool) is None:
            print(f"{tool}: not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            for case in TOOLS[tool](Path(folder)):
                found = loaded(case)
                total += 1
                right += (found[0].isdigit() and float(found) < LARGEST) or found.startswith("refused")
                print(f"{tool:12}  {case.what:52}  {found}", flush=True)
    print(f"{right} of {total} as they should be")


if __name__ == "__main__":
    main()
