from __future__ import annotations

import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit import figures
from interpretkit.results.origin import WeightsInfo

WORDS = {
    1: "",
    2: "Pictures of the input show channel 1 of 2 alone, in grey.",
    3: "",
    6: "Pictures of the input show channels 1 to 3 of 6 as red, green and blue.",
}


def network(channels: int) -> ik.Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return ik.wrap(net.eval(), name="tiny")


@pytest.mark.parametrize("channels", WORDS)
def test_figures_say_which_channels_of_the_input_they_show(channels, tmp_path):
    steps = [
        {"id": "map", "uses": "grad_cam", "with": {"layers": ["1"]}},
        {"id": "seen", "uses": "exemplars", "with": {"layers": ["1"], "channels": [0]}},
    ]
    said = []
    run = ik.run(
        {"schema": "interpretkit/1", "name": "a", "steps": steps},
        model=network(channels),
        images=torch.rand(2, channels, 12, 12),
        output=tmp_path,
        listen=lambda event: said.append(event.text),
    )
    drawn = [figure for step in run.record.steps for figure in step.figures]
    assert len(drawn) == 3
    page = run.read("report.html").decode()
    if WORDS[channels]:
        assert all(WORDS[channels] in figure.caption for figure in drawn)
        assert any("tiny: pictures of its input show channel" in text for text in said)
        assert "Pictures of the input of tiny show channel" in page
    else:
        assert "ictures of the input" not in page
    (again, *_) = ik.draw(ik.open_run(run.path).results["map"])
    assert again.caption == drawn[0].caption


def test_a_stored_result_is_drawn_with_the_alert_of_partly_random_weights(tmp_path):
    weights = WeightsInfo(kind="path", source="a.pt", missing=("4.weight",))
    live = network(3)
    model = ik.Model(module=live.module, name="tiny", outputs=live.outputs, weights=weights)
    steps = [{"id": "map", "uses": "grad_cam", "with": {"layers": ["1"]}}]
    recipe = {"schema": "interpretkit/1", "name": "a", "steps": steps}
    run = ik.run(recipe, model=model, images=torch.rand(1, 3, 12, 12), output=tmp_path)
    (drawn, *_) = ik.draw(ik.open_run(run.path).results["map"])
    assert drawn.caption.startswith("PARTLY RANDOM WEIGHTS: 1 tensor not in the file (4.weight).")


def test_a_model_given_in_python_is_from_no_plugin(tmp_path):
    steps = [{"id": "map", "uses": "grad_cam", "with": {"layers": ["1"]}}]
    recipe = {"schema": "interpretkit/1", "name": "a", "steps": steps}
    run = ik.run(recipe, model=network(3), images=torch.rand(1, 3, 12, 12), output=tmp_path)
    page = run.read("report.html").decode()
    assert "<dt>Model</dt><dd>given in Python</dd>" in page
    assert "from given" not in page


@pytest.mark.parametrize(("name", "escaped"), [("犬", True), ("chien", False)])
def test_figures_say_that_characters_are_escapes_and_captions_have_them(monkeypatch, name, escaped):
    lines = []
    stamp = figures.stamp

    def seen(picture, given, *, alert=""):
        lines.extend(given)
        return stamp(picture, given, alert=alert)

    monkeypatch.setattr("interpretkit.figures.stamp", seen)
    model = ik.wrap(network(3).module, classes=["a", name, "c"])
    (figure, *_) = ik.draw(ik.visualize(model, torch.rand(1, 3, 12, 12), "grad_cam", layers=["1"], target=name))
    assert name in figure.alt
    assert any("the font of pictures lacks stand here as escapes" in line for line in lines) == escaped
