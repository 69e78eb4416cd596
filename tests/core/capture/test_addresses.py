from __future__ import annotations

import pytest

from interpretkit.capture.addresses import EVERY, Address


@pytest.mark.parametrize(
    ("call", "calls", "said"),
    [
        (None, 1, None),
        (None, 0, "layer act was not called in this forward pass"),
        (None, 3, "layer act was called 3 times"),
        (2, 3, None),
        (3, 3, None),
        (4, 3, "layer act was called 3 times, so there is no act#4"),
        (1, 0, "layer act#1 was not called in this forward pass"),
        (EVERY, 0, None),
        (EVERY, 3, None),
    ],
)
def test_an_address_fits_a_pass_that_made_the_call_and_no_other_where_it_names_none(call, calls, said):
    problem = Address("act", call).problem(calls=calls)
    assert (problem and problem.message) == said


def test_the_calls_to_choose_from_are_named():
    assert Address("act").problem(calls=3).hint == "say which: act#1 to act#3"
