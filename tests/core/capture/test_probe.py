from __future__ import annotations

import torch

from interpretkit.capture.probe import probe


def test_a_probe_lists_calls_in_the_order_of_execution_on_the_meta_device(net):
    calls = probe(net.to("meta"), torch.zeros(1, 3, 5, 6, dtype=torch.float64, device="meta"))
    assert [str(call.address) for call in calls] == [
        "first", "relu#1", "aside", "second", "norm", "pair", "relu#2", "drop", "head",
    ]  # fmt: skip
    assert calls[0].shape == (1, 4, 5, 6)
    assert calls[0].kind == "Conv2d"
    assert calls[0].parameters == 3 * 4 * 9 + 4
    assert calls[5].shape is None
