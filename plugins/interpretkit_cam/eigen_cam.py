"""Eigen-CAM and EigenGrad-CAM: the strongest component of a layer, without a singular value decomposition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from interpretkit import Needs
from interpretkit_cam.base import GradientMaps, LayerMaps

if TYPE_CHECKING:
    import torch

    from interpretkit import Captured


class EigenCAM(LayerMaps):
    r"""Eigen-CAM: the layer's activations projected on their first right singular vector; of no class.

    With the layer as a matrix $O$ of cells by channels, $O = U \Sigma V^T$:

    $$L = O v_1 = \sigma_1 u_1$$

    A singular vector has no sign of its own. It is turned so that $\sum_k v_1^k \ge 0$: so that the map rises where the
    sum over all channels does. The paper does not centre $O$; with `centre` each channel's mean over the cells is
    taken off first, which makes $v_1$ the first principal component, as pytorch-grad-cam has it. One map per layer,
    `(image, y, x)`, in units of the activation.
    """

    name = "eigen_cam"
    title = "Eigen-CAM"
    citations = {"muhammad2020eigencam": ""}

    class Options(LayerMaps.Options):
        """Options of Eigen-CAM."""

        centre: bool = Field(
            default=False, description="take each channel's mean over the cells off first, as pytorch-grad-cam does"
        )

    options: Options

    def needs(self) -> Needs:
        """Ask for the layers' outputs."""
        return Needs(activations=self.options.layers)

    def layer_maps(self, captured: Captured) -> dict[str, torch.Tensor]:
        """Return the maps of each layer, `(image, y, x)`."""
        return {
            layer: first_component(each, centre=self.options.centre) for layer, each in captured.activations.items()
        }


class EigenGradCAM(GradientMaps):
    r"""EigenGrad-CAM: Eigen-CAM of the products of activation and gradient, so that it is about a class.

    $L = O v_1$ as in Eigen-CAM, for $O_k(y, x) = A_k(y, x)\, \partial y / \partial A_k(y, x)$. The method comes from
    pytorch-grad-cam, which centres $O$; so that is the default here. The vector is turned so that the map rises where
    the sum over all channels, which is HiResCAM, does. One map per layer, `(image, y, x)`.
    """

    name = "eigen_grad_cam"
    title = "EigenGrad-CAM"
    citations = {
        "gildenblat2021pytorchcam": "the method; https://github.com/jacobgil/pytorch-grad-cam",
        "muhammad2020eigencam": "",
    }

    class Options(GradientMaps.Options):
        """Options of EigenGrad-CAM."""

        centre: bool = Field(default=True, description="take each channel's mean over the cells off first")

    options: Options

    def maps(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return the first component of the products of activation and gradient, `(image, y, x)`."""
        return first_component(gradient * activation, centre=self.options.centre)


def first_component(values: torch.Tensor, *, centre: bool) -> torch.Tensor:
    """Return the projection of `values` `(image, channel, y, x)` on their first right singular vector, `(image, y, x)`.

    The vector comes from the smaller of the two Gram matrices, channels by channels or cells by cells: both have the
    squares of the singular values for eigenvalues. Squaring costs half the digits, so it is done in float64.
    The map of an image with NaN or infinity among its values is NaN.

    Args:
        values: A layer of each image.
        centre: Whether to take each channel's mean over the cells off first.

    Example:
        >>> import torch
        >>> first_component(torch.tensor([[[[3.0, 0.0]], [[4.0, 0.0]]]]), centre=False)
        tensor([[[5., 0.]]])
    """
    import torch

    cells = values.flatten(2).double()
    if centre:
        cells = cells - cells.mean(2, keepdim=True)
    by_channels = cells.shape[1] <= cells.shape[2]
    gram = cells @ cells.mT if by_channels else cells.mT @ cells
    finite = gram.isfinite().all(dim=(1, 2), keepdim=True)
    squares, vectors = torch.linalg.eigh(torch.where(finite, gram, 0))
    vector = vectors[:, :, -1:]
    singular = squares[:, -1:, None].clamp(min=0).sqrt()
    projected = vector.mT @ cells if by_channels else (singular * vector).mT
    # The scalar product with the sum over channels is the square of the singular value times the sum of the vector.
    turned = projected @ cells.sum(1, keepdim=True).mT < 0
    projected = torch.where(finite, torch.where(turned, -projected, projected), torch.nan)
    return projected.view(len(values), *values.shape[2:]).to(values.dtype)
