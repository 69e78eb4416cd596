"""Sums over examples from which linear CKA follows exactly, in feature space, merged exactly up to rounding."""

from __future__ import annotations

import numpy as np

# A layer whose values differ by less than this part of their magnitude is the same for all examples: the rest is
# rounding in float64. Single precision, in which features come, is coarser by far.
_NO_SPREAD = 1e-10


def about(first: np.ndarray, second: np.ndarray, origins: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    r"""Return all sums of products of two layers that linear CKA needs, `(channel + 2, channel + 2)`, float64.

    With $\hat x = (1,\; x - o,\; \lVert x - o \rVert^2)$ for an example's features $x$ and an origin $o$ near their
    mean, they are one matrix

    $$A = \sum_i \hat x_i \hat y_i^T$$

    which holds the number of examples, the sums, the cross-moments $X^T Y$, $\sum \lVert x_i \rVert^2 y_i$ and
    $\sum \lVert x_i \rVert^2 \lVert y_i \rVert^2$.

    Args:
        first: Features of one layer, `(example, channel)`.
        second: Features of the other for the same examples.
        origins: Where each counts from.

    Example:
        >>> about(np.array([[1.0], [3.0]]), np.array([[0.0], [4.0]]), (np.array([2.0]), np.array([2.0])))
        array([[2., 0., 8.],
               [0., 4., 0.],
               [2., 0., 8.]])
    """
    one, other = _raised(first, origins[0]), _raised(second, origins[1])
    return np.asarray(one.T @ other)


def moved(sums: np.ndarray, steps: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return the moments about origins that lie `steps` further on, one step for each layer.

    Example:
        >>> from_origin = lambda origin: about(np.array([[1.0], [3.0]]), np.array([[0.0], [4.0]]), (origin, origin))
        >>> np.array_equal(moved(from_origin(np.zeros(1)), (np.ones(1), np.ones(1))), from_origin(np.ones(1)))
        True
    """
    rows, columns = steps
    half = _moved_rows(sums, rows)
    return _moved_rows(half.T, columns).T


def hsic(sums: np.ndarray) -> float:
    r"""Return $\lVert X^T Y \rVert_F^2$ of moments about the means: HSIC as usually estimated, up to a factor.

    The factor depends on the number of examples alone; in CKA it cancels.
    """
    products = sums[1:-1, 1:-1]
    return float((products**2).sum())


def hsic_debiased(sums: np.ndarray) -> float:
    r"""Return the unbiased estimate of HSIC from moments about the means, up to a factor that cancels in CKA.

    Song et al. (2012) take the Gram matrices $K = XX^T$, $L = YY^T$ with zeros on the diagonal, $\tilde K$, $\tilde L$:

    $$n(n-3)\,\mathrm{HSIC}_1 = \operatorname{tr}(\tilde K \tilde L)
      + \frac{1^T\tilde K 1\; 1^T\tilde L 1}{(n-1)(n-2)} - \frac{2}{n-2}\, 1^T \tilde K \tilde L 1$$

    It is the same about any origin, so that of the means may be taken: there $K1 = 0$, and with $k_i = \lVert x_i
    \rVert^2$, $l_i = \lVert y_i \rVert^2$ follow $\tilde K 1 = -k$, $\operatorname{tr}(\tilde K \tilde L) =
    \lVert X^T Y \rVert_F^2 - \sum k_i l_i$, and altogether

    $$\lVert X^T Y \rVert_F^2 - \frac{n}{n-2} \sum_i k_i l_i + \frac{\sum_i k_i \sum_i l_i}{(n-1)(n-2)}$$

    which needs four examples or more, and no Gram matrix.
    """
    count = sums[0, 0]
    first, second = sums[-1, 0], sums[0, -1]
    products = sums[-1, -1] * count / (count - 2)
    lengths = first * second / ((count - 1) * (count - 2))
    return float(hsic(sums) - products + lengths)


def varies(own: np.ndarray, mean: np.ndarray) -> bool:
    """Say whether a layer differs between examples by more than rounding.

    Args:
        own: Moments about the mean of the layer with itself.
        mean: Its mean, `(channel,)`.
    """
    count, spread = own[0, 0], own[-1, 0]
    magnitude = count * (mean @ mean)
    return bool(spread > magnitude * _NO_SPREAD**2)


def _raised(values: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Return 1, the features about an origin, and their squared length, for each example."""
    about = values - origin
    ones = np.ones((len(about), 1))
    lengths = (about**2).sum(1, keepdims=True)
    return np.concatenate([ones, about, lengths], axis=1)


def _moved_rows(sums: np.ndarray, step: np.ndarray) -> np.ndarray:
    r"""Move the origin of the layer that the rows are about: $x - s$, and $|x - s|^2 = |x|^2 - 2 s x + |s|^2$."""
    ones, features = sums[0], sums[1:-1]
    result = sums.copy()
    result[1:-1] -= np.outer(step, ones)
    result[-1] += (step @ step) * ones - 2 * step @ features
    return result
