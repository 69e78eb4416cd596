"""Steps that run long say how far they are, up to the end."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from interpretkit.contracts.captured import Listener
from interpretkit.contracts.kinds import VISUALIZER
from interpretkit.contracts.registry import Plugin, discover
from interpretkit.engine.batch import begin
from interpretkit.engine.plan import Plan, plan_step
from interpretkit.engine.resolve import Step, parse_options
from interpretkit.inputs.batch import tensor_batches
from interpretkit.testing import tiny_images, tiny_model

CAM = ("grad_cam", {"layers": ["features"]})


class Heard(Listener):
    """Keeps what it hears."""

    def __init__(self):
        self.passes = 0
        self.said = []

    def passed(self):
        self.passes += 1

    def progress(self, done, total):
        self.said.append((done, total))


def heard_of(name, options, *, reads):
    """Compute a step for two images, and return what was heard of it."""
    registry, model = discover(), replace(tiny_model(), notes=())

    def planned(step, uses, of, options):
        offer = registry.find(VISUALIZER, uses).offer
        visualizer = offer(parse_options(offer, options))
        resolved = Step(id=step, visualizer=visualizer, plugin=Plugin("t"), model="model", of=of)
        return plan_step(resolved, model)

    earlier = [planned("cam", CAM[0], (), CAM[1])] if reads else []
    step = planned("step", name, ("cam",) if reads else (), options)
    plan = Plan(models={"model": model}, steps=(*earlier, step))
    (batch,) = tensor_batches(tiny_images(2), plan.models, batch_size=2)
    heard = {}
    work = begin(plan, batch, listener=lambda step, _about: heard.setdefault(step, Heard()))
    assert [outcome.failure for outcome in work.outcomes] == [None] * len(plan.steps)
    return heard["step"]


@pytest.mark.parametrize(
    ("name", "options", "reads", "said"),
    [
        ("score_cam", {"layers": ["features"], "internal_batch_size": 2}, False, [(2, 8), (4, 8), (6, 8), (8, 8)]),
        ("ablation_cam", {"layers": ["features"], "internal_batch_size": 3}, False, [(3, 8), (4, 8), (7, 8), (8, 8)]),
        (
            "smooth_grad_cam_plusplus",
            {"layers": ["features"], "samples": 5, "internal_batch_size": 4},
            False,
            [(4, 10), (5, 10), (9, 10), (10, 10)],
        ),
        ("deletion_insertion", {"steps": 3}, True, [(0, 2), (1, 2)]),
        ("sensitivity_max", {"samples": 2}, True, [(0, 2), (1, 2)]),
        ("randomization_cascade", {}, True, [(0, 4), (1, 4), (2, 4), (3, 4)]),
        ("infidelity", {"samples": 4}, True, [(0, 2), (1, 2)]),
        ("channel_contributions", {"layers": ["features"]}, False, [(0, 2), (1, 2)]),
    ],
)
def test_a_step_says_how_far_it_is_and_its_passes_are_counted(name, options, reads, said):
    heard = heard_of(name, options, reads=reads)
    assert heard.said == said
    assert heard.passes >= len(said)


def test_passes_of_methods_of_captum_are_counted():
    heard = heard_of("occlusion", {"window": 8, "stride": 8, "internal_batch_size": 1}, reads=False)
    # One for the image as it is, one for each of four windows, for two images.
    assert heard.passes >= 2 * 5
    assert torch.is_grad_enabled()
