"""Named checks as pytest sees them."""

from __future__ import annotations

import pytest

from interpretkit.testing import NamedCheck, checks_of
from interpretkit_cam.grad_cam import GradCAM


def passing():
    """Nothing is wrong."""


def failing():
    raise AssertionError("2 hooks were left")


def raising():
    raise ZeroDivisionError("no cells")


@pytest.mark.parametrize("run", [failing, raising])
def test_a_known_failure_is_an_expected_one(run):
    with pytest.raises(pytest.xfail.Exception, match=r"torch keeps them \((AssertionError|ZeroDivisionError): "):
        NamedCheck(name="hooks", run=run, known="torch keeps them")()


def test_a_known_failure_that_passes_is_a_failure():
    with pytest.raises(AssertionError, match=r"hooks: it passes, so it is no known failure any more \(torch"):
        NamedCheck(name="hooks", run=passing, known="torch keeps them")()


def test_what_the_checked_thing_raises_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        NamedCheck(name="hooks", run=raising)()


def test_known_failures_are_named_like_checks():
    with pytest.raises(
        ValueError, match=r"no check of a visualizer is called 'any_batch' \(did you mean 'any_batches'"
    ):
        checks_of(GradCAM, known={"any_batch": "why"}, layers=["features"])
    known = checks_of(GradCAM, known={"any_batches": "why"}, layers=["features"])
    assert [str(check) for check in known if check.known] == ["any_batches"]


def test_what_is_of_no_kind_has_no_checks():
    with pytest.raises(TypeError, match="int is nothing that plugins offer"):
        checks_of(int)
