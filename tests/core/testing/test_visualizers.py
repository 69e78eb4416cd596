"""The checks that authors of visualizers test with: each finds what it is for, and that alone."""

from __future__ import annotations

from contextlib import contextmanager
from types import MappingProxyType

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure as Plot
from pydantic import Field

import interpretkit as ik
from interpretkit import figures
from interpretkit.testing import check_visualizer, checks_of
from interpretkit_cam.grad_cam import GradCAM
from interpretkit_channel_stats.channel_stats import ChannelStats


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


def test_what_its_user_prefers_of_matplotlib_fails_no_check():
    with mpl.rc_context({"text.usetex": True, "text.latex.preamble": r"\nonsense"}):
        check_visualizer(ChannelStats, layers=["features"])


def test_a_visualizer_that_repeats_earlier_steps_can_be_checked():
    check_visualizer(Repeats, of=cam())
    with pytest.raises(AssertionError, match="computed twice, the result differs: table 'maxima', column 'turned'"):
        check_visualizer(Drifts, of=cam())


def test_results_alone_cannot_be_repeated():
    from interpretkit.testing import tiny_images, tiny_model

    of = {"cam": ik.visualize(tiny_model(), tiny_images(), "grad_cam", layers=["features"])}
    with pytest.raises(ik.StepError, match="'cam' cannot be computed once more"):
        check_visualizer(Repeats, of=of)


class Sound(ik.Visualizer):
    """Keeps the contract: the mean of a layer over its channels."""

    name = "sound"
    yields = "attribution"
    polarity = "unsigned"

    class Options(ik.Layered):
        power: float = Field(default=1.0, description="to which the mean is raised")

    def needs(self):
        return ik.Needs(activations=self.options.layers)

    def compute(self, captured):
        return ik.Result(
            maps={
                layer: captured.map(layer, self.mean(values), polarity="unsigned")
                for layer, values in captured.activations.items()
            }
        )

    def mean(self, values):
        return values.mean(1) ** self.options.power

    def draw(self, result):
        for layer, each in result.maps.items():
            picture = figures.heatmap(each.values[0], title=layer, polarity="unsigned")
            yield ik.Figure(name=layer, picture=picture, caption="a mean", alt="a mean")


class Undescribed(Sound):
    class Options(Sound.Options):
        top: int = 3


class Uncited(Sound):
    citations = MappingProxyType({"nobody2020nothing": ""})


class Taken(Sound):
    name = "grad_cam"


class Random(Sound):
    def mean(self, values):
        return values.mean(1) + np.random.default_rng().random()


class OfTheBatch(Sound):
    def mean(self, values):
        return values.mean(1) - values.mean(1).min() + len(values)


class Trains(Sound):
    """Writes into a parameter, which no count of changes tells of."""

    def needs(self):
        return ik.Needs(activations=self.options.layers, parameters=True)

    def compute(self, captured):
        for parameter in captured.model.module.parameters():
            parameter.data.add_(1.0)
        return super().compute(captured)


class Nowhere(Sound):
    def mean(self, values):
        return values.mean(1) * float("nan")


class Negative(Sound):
    def mean(self, values):
        return values.mean(1) - 100


class Signed(Sound):
    def compute(self, captured):
        ((layer, values),) = captured.activations.items()
        return ik.Result(maps={layer: captured.map(layer, values.mean(1), polarity="signed")})


class Plots(Sound):
    """Draws with matplotlib, and forgets to turn it into a picture."""

    def draw(self, result):
        yield ik.Figure(name="plot", picture=Plot(), caption="a plot", alt="a plot")


class ReturnsNothing(Sound):
    def draw(self, result):
        self.found = [*super().draw(result)]


class Silent(Sound):
    def draw(self, result):
        for figure in super().draw(result):
            yield ik.Figure(name=figure.name, picture=figure.picture, caption="", alt="a mean")


class SameNames(Sound):
    def draw(self, result):
        yield from super().draw(result)
        yield from super().draw(result)


class Scribbles(Sound):
    def draw(self, result):
        for each in result.maps.values():
            each.values[:] = 0
        return super().draw(result)


BROKEN = {
    Undescribed: {"described_options": "options without a description: top"},
    Uncited: {"citations": "nobody2020nothing"},
    Taken: {"free_id": "the id 'grad_cam' is taken by interpretkit"},
    Random: {"same_twice": "computed twice", "any_batches": "depends on the grouping"},
    OfTheBatch: {"any_batches": "depends on the grouping into batches: map 'features'"},
    Nowhere: {"finite": "'features' is NaN or infinite everywhere"},
    Negative: {"polarity": "map 'features' is called unsigned and has values down to -100"},
    Signed: {"polarity": "map 'features' is signed, but the class says unsigned"},
    Plots: {"figures": "the picture of figure 'plot' is a matplotlib.figure.Figure, not an image of Pillow"},
    ReturnsNothing: {"figures": "draw() returns None, not figures: yield them"},
    Silent: {"figures": "a figure without caption"},
    SameNames: {"figures": "two figures of one name among features, features"},
    Scribbles: {"drawing_changes_nothing": "draw() changed the result: map 'features'"},
}


def found(visualizer):
    messages = {}
    for check in checks_of(visualizer, layers=["features"]):
        try:
            check()
        except AssertionError as error:
            messages[str(check)] = str(error)
    return messages


@pytest.mark.parametrize("check", checks_of(Sound, layers=["features"]), ids=str)
def test_what_keeps_the_contract_passes(check):
    check()


@pytest.mark.parametrize("visualizer", BROKEN, ids=lambda each: each.__name__)
def test_what_breaks_the_contract_is_found_by_the_check_for_it_alone(visualizer):
    messages = found(visualizer)
    assert messages.keys() == BROKEN[visualizer].keys()
    for name, message in BROKEN[visualizer].items():
        assert message in messages[name]
    with pytest.raises(AssertionError):
        check_visualizer(visualizer, layers=["features"])


def test_changed_weights_are_found():
    assert "the model's weights were changed" in found(Trains)["model_left_as_found"]


def test_rounding_below_zero_is_no_negative_value():
    class Rounds(Sound):
        name = "rounds"

        def mean(self, values):
            return values.mean(1) - 1e-9

    assert found(Rounds) == {}


def test_hooks_that_are_left_are_found(monkeypatch):
    class Hooking(Sound):
        name = "hooking"

        def needs(self):
            return ik.Needs(activations=self.options.layers, own_passes=True)

        def compute(self, captured):
            captured.model.module.register_forward_hook(lambda *_: None)
            return super().compute(captured)

    # The engine takes hooks away again that are left; without it the check has something to find.
    assert found(Hooking) == {}
    monkeypatch.setattr("interpretkit.engine.batch.left_as_found", lambda *_: nothing())
    assert found(Hooking) == {"hooks": "1 hooks were left on the model"}


@contextmanager
def nothing():
    yield
