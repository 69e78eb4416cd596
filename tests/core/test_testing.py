"""The checks that plugin authors test with."""

from __future__ import annotations

import pytest

import interpretkit as ik
from interpretkit.testing import check_visualizer
from interpretkit_cam.grad_cam import GradCAM


class Repeats(ik.Visualizer):
    """The greatest value of an earlier map, and of the same map of the image turned upside down."""

    name = "repeats"
    reads = ik.Reads("attribution")
    calls = 0

    def needs(self):
        return ik.Needs(own_passes=True)

    def compute(self, captured):
        rows = []
        for position, image in enumerate(captured.images):
            turned = captured.repeat("cam", captured.inputs[position : position + 1].flip(2), position)
            here = captured.results["cam"].maps["features"].values[position].max()
            type(self).calls += 1
            rows.append((image.id, here, turned.maps["features"].values.max() + self.drift()))
        columns = zip(*rows, strict=True)
        return ik.Result(tables={"maxima": ik.Table(dict(zip(("image", "here", "turned"), columns, strict=True)))})

    def drift(self):
        return 0.0


class Drifts(Repeats):
    """Depends on how often it was called."""

    name = "drifts"

    def drift(self):
        return float(self.calls)


def cam():
    return {"cam": GradCAM(GradCAM.Options(layers=["features"]))}


def test_a_visualizer_that_repeats_earlier_steps_can_be_checked():
    check_visualizer(Repeats, of=cam())
    with pytest.raises(AssertionError, match="computed twice, the result differs: table 'maxima', column 'turned'"):
        check_visualizer(Drifts, of=cam())


def test_results_alone_cannot_be_repeated():
    from interpretkit.testing import tiny_images, tiny_model

    of = {"cam": ik.visualize(tiny_model(), tiny_images(), "grad_cam", layers=["features"])}
    with pytest.raises(ik.StepError, match="'cam' cannot be computed once more"):
        check_visualizer(Repeats, of=of)
