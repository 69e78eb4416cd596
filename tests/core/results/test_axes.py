from __future__ import annotations

import numpy as np
import pytest

from interpretkit.results.axes import Array, has_grid, of_inputs, spatial


@pytest.mark.parametrize(
    ("grid", "dims"),
    [(("x",), "image channel x"), (("y", "x"), "image channel y x"), (("z", "y", "x"), "image channel z y x")],
)
def test_signals_images_and_volumes_end_in_their_grid(grid, dims):
    assert spatial(len(grid)) == grid
    assert of_inputs(len(grid) + 2) == tuple(dims.split())
    assert has_grid(of_inputs(len(grid) + 2))


@pytest.mark.parametrize("axes", [(), ("image", "channel"), ("image", "token", "channel"), ("first", "second")])
def test_vectors_tokens_and_matrices_have_no_grid(axes):
    assert not has_grid(axes)


def test_an_array_has_a_name_for_each_axis():
    array = Array(values=np.zeros((2, 3), np.float16), dims=("image", "channel"))
    assert array.sizes == {"image": 2, "channel": 3}
    assert repr(array) == "Array(image 2, channel 3; float16)"
    with pytest.raises(ValueError, match=r"array: dims \('image',\) do not fit shape \(2, 3\)"):
        Array(values=np.zeros((2, 3)), dims=("image",))
    with pytest.raises(TypeError, match="array: values are a list, not a numpy array"):
        Array(values=[1, 2], dims=("image",))
