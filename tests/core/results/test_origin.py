from __future__ import annotations

import pytest

from interpretkit.results.origin import Origin, WeightsInfo


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, "weights as given"),
        ({"kind": "path", "source": "net.pth", "sha256": "00"}, "net.pth"),
        ({"kind": "random"}, "random weights"),
        ({"kind": "random", "source": "owner/net"}, "random weights"),
        ({"kind": "random", "source": "owner/net", "fallback": "offline"}, "random weights in place of owner/net"),
    ],
)
def test_random_weights_are_called_so_whatever_they_stand_in_for(facts, text):
    assert str(WeightsInfo(**facts)) == text


def test_two_origins_are_the_same_whoever_computed_them():
    facts = {"step": "cam", "uses": "grad_cam", "plugin": "p 1.0", "options": {}, "model": "net", "weights": "w"}
    assert Origin(**facts, visualizer=object()) == Origin(**facts)
    assert str(Origin(**facts)) == "step 'cam' (grad_cam, p 1.0)"
