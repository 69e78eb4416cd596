"""What any number of methods cost together: one forward pass, and one backward pass for each distinct target."""

from __future__ import annotations

import pytest
import torch

import interpretkit as ik

LAYERS = "[stage0, stage1, stage2, stage3, stage4]"
CAMS = ["grad_cam", "grad_cam_plusplus", "hirescam", "xgrad_cam", "layer_cam", "eigen_cam", "eigen_grad_cam"]
MODEL = "{uses: repvgg, with: {variant: custom, depths: [1, 1, 1, 1], widths: [4, 4, 4, 8], num_classes: 5}}"


def step(name: str, options: str, of: str = "[]", uses: str = "") -> str:
    return f"{{id: {name}, uses: {uses or name}, with: {options}, of: {of}, figures: false}}"


@pytest.fixture
def counts(monkeypatch):
    """Count calls of the network, and passes backward by any door that torch has."""
    found = {"forward": 0, "backward": 0}
    call, grad, backward = torch.nn.Module.__call__, torch.autograd.grad, torch.autograd.backward

    def counted_call(self, *arguments, **more):
        found["forward"] += type(self).__name__ == "RepVGG"
        return call(self, *arguments, **more)

    def counted(door):
        def wrapped(*arguments, **more):
            found["backward"] += 1
            return door(*arguments, **more)

        return wrapped

    monkeypatch.setattr(torch.nn.Module, "__call__", counted_call)
    monkeypatch.setattr(torch.autograd, "grad", counted(grad))
    monkeypatch.setattr(torch.autograd, "backward", counted(backward))
    return found


def carried_out(folder, steps: list[str], *, checks: str = "none") -> ik.Run:
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"{{schema: interpretkit/1, name: all, model: {MODEL}, inputs: [sample:grace_hopper],"
        f" steps: [{', '.join(steps)}], checks: {checks}}}"
    )
    run = ik.run(recipe, output=folder / "runs")
    assert run.status == "complete", [each["error"] for each in run.manifest["steps"]]
    return run


@pytest.mark.parametrize(("checks", "passes"), [("none", 1), ("default", 2)])
def test_all_methods_of_one_pass_together_cost_one_forward_and_one_backward_pass(tmp_path, counts, checks, passes):
    """And checks, however many judge however many methods, one of the runner-up; with weights, one without them."""
    steps = [step(cam, f"{{layers: {LAYERS}}}") for cam in CAMS]
    steps += [
        step("cam", "{layers: [stage4]}"),
        step("full_grad", "{}"),
        step("saliency", "{}"),
        step("input_x_gradient", "{}"),
        step("features", f"{{layers: {LAYERS}, order: contribution}}", uses="feature_grid"),
        step("channel_stats", f"{{layers: {LAYERS}}}"),
        step("compare", "{}", of="[features, grad_cam]"),
        step("depth_sweep", "{}", of="[grad_cam]"),
        step("sparseness", "{}", of="[grad_cam, saliency]"),
        step("cka", "{examples: cells}", of="[features]"),
    ]
    carried_out(tmp_path, steps, checks=checks)
    assert counts == {"forward": passes, "backward": passes}


def test_each_further_target_costs_one_backward_pass(tmp_path, counts):
    targets = ["predicted", "{top: 3}", "0", "{for: 0, against: 1}"]
    carried_out(
        tmp_path,
        [step(f"cam{k}", f"{{layers: [stage4], target: {t}}}", uses="grad_cam") for k, t in enumerate(targets)],
    )
    # The first of the top is the prediction.
    assert counts == {"forward": 1, "backward": 5}
