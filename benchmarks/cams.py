"""Time class activation maps of RepVGG-B0's five stages: interpretkit's against pytorch-grad-cam's, one by one.

    python benchmarks/cams.py

One image of 224 × 224, random weights. Three questions: what five methods on five stages take in one pass, beside 25
calls; what they take beside a bare forward and backward pass; what Eigen-CAM takes without a singular value
decomposition. Nothing is compared across machines: the sides take turns, and each ratio is the median of the ratios of
such turns.
"""

from __future__ import annotations

import os
import platform
import time
from statistics import median
from typing import TYPE_CHECKING

import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

import interpretkit as ik
from interpretkit.contracts.kinds import VISUALIZER
from interpretkit.contracts.registry import discover
from interpretkit.engine.batch import compute
from interpretkit.engine.plan import Plan, plan_step
from interpretkit.engine.resolve import Step, parse_options
from interpretkit.inputs.batch import tensor_batches

if TYPE_CHECKING:
    from collections.abc import Callable

LAYERS = ["stage0", "stage1", "stage2", "stage3", "stage4"]
TARGET = 281
METHODS = {
    "grad_cam": pytorch_grad_cam.GradCAM,
    "grad_cam_plusplus": pytorch_grad_cam.GradCAMPlusPlus,
    "hirescam": pytorch_grad_cam.HiResCAM,
    "xgrad_cam": pytorch_grad_cam.XGradCAM,
    "layer_cam": pytorch_grad_cam.LayerCAM,
}


def plan(model: ik.Model, methods: list[str], **options: object) -> Plan:
    """Return a plan with one step for each method."""
    steps = []
    for method in methods:
        found = discover().find(VISUALIZER, method)
        visualizer = found.offer(parse_options(found.offer, {"layers": LAYERS, **options}))
        step = Step(id=method, visualizer=visualizer, plugin=found.plugin, model="model")
        steps.append(plan_step(step, model))
    return Plan(models={"model": model}, steps=tuple(steps))


def ours(planned: Plan, image: torch.Tensor) -> None:
    """Compute all steps of a plan for one image."""
    (batch,) = tensor_batches(image, planned.models, batch_size=1)
    outcome = compute(planned, batch)
    for failure in outcome.failures.values():
        raise failure


def theirs(net: torch.nn.Module, image: torch.Tensor, layers: list[torch.nn.Module], methods: list[type]) -> None:
    """Call each method of pytorch-grad-cam for each layer."""
    for method in methods:
        for layer in layers:
            with method(model=net, target_layers=[layer]) as cam:
                cam(input_tensor=image, targets=[ClassifierOutputTarget(TARGET)])


def bare_forward(net: torch.nn.Module, image: torch.Tensor) -> None:
    """Run one forward pass."""
    with torch.no_grad():
        net(image)


def bare_backward(net: torch.nn.Module, image: torch.Tensor) -> None:
    """Run one forward and one backward pass, down to the weights."""
    net.zero_grad()
    net(image)[0, TARGET].backward()


def bare_grad(net: torch.nn.Module, image: torch.Tensor) -> None:
    """Run one forward and one backward pass, down to the image."""
    image = image.clone().requires_grad_()
    torch.autograd.grad(net(image)[0, TARGET], image)


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes: the median of as many runs as begin within a second."""
    times: list[float] = []
    begin = time.perf_counter()
    while not times or time.perf_counter() - begin < 1:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def turns(count: int, *sides: Callable[[], object]) -> list[list[float]]:
    """Time the sides in turn, `count` times; return the times of each side."""
    return [list(times) for times in zip(*([seconds(side) for side in sides] for _ in range(count)), strict=True)]


def report(what: str, times: list[float], fast: list[float]) -> None:
    """Print the median of a side, and how many times as long it takes as the fast one."""
    ratio = median(one / other for one, other in zip(times, fast, strict=True))
    print(f"  {what:58}{median(times) * 1e3:9.1f} ms{ratio:8.2f} times as long")


def main() -> None:
    """Time all sides and print what was measured."""
    model = ik.load_model("repvgg", variant="B0")
    net = model.module.eval()
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    layers = [net.get_submodule(layer.address.path) for layer in model.find(LAYERS)]
    five, eigen = plan(model, list(METHODS), target=TARGET), plan(model, ["eigen_cam"], centre=True)
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {torch.get_num_threads()} threads")

    for warm_up in (bare_backward, bare_grad):
        warm_up(net, image)
    for planned in (five, eigen):
        ours(planned, image)
    theirs(net, image, layers[-1:], [*METHODS.values(), pytorch_grad_cam.EigenCAM])

    print("five methods on five stages")
    fast, slow = turns(3, lambda: ours(five, image), lambda: theirs(net, image, layers, list(METHODS.values())))
    report("interpretkit, one pass", fast, fast)
    report("pytorch-grad-cam, 25 calls", slow, fast)

    fast, backward, grad = turns(
        7, lambda: ours(five, image), lambda: bare_backward(net, image), lambda: bare_grad(net, image)
    )
    report("bare forward and backward(), with gradients of weights", backward, fast)
    report("bare forward and autograd.grad() for the image", grad, fast)
    for what, bare in (("backward()", backward), ("autograd.grad()", grad)):
        report(f"interpretkit beside the bare pass with {what}", fast, bare)

    print("Eigen-CAM on five stages")
    fast, bare, slow = turns(
        3,
        lambda: ours(eigen, image),
        lambda: bare_forward(net, image),
        lambda: theirs(net, image, layers, [pytorch_grad_cam.EigenCAM]),
    )
    report("interpretkit", fast, fast)
    report("bare forward", bare, fast)
    report("pytorch-grad-cam, 5 calls", slow, fast)


if __name__ == "__main__":
    main()
