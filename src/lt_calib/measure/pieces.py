"""Row by row, what would take several times the memory of the predictions all at once."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

MOST = 2**22  # numbers at a time: 34 MB in float64


def pieces(values: Tensor) -> Iterator[slice]:
    """Cut the rows of (N, K) into slices of at most ``MOST`` numbers, of a row at least; one of no row where N is 0."""
    step = max(1, MOST // max(1, values.shape[1]))
    for start in range(0, max(1, len(values)), step):
        yield slice(start, start + step)


def by_rows(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Compute what needs each row alone, piece by piece: the same numbers in little more memory than the result's.

    Args:
        function: Of tensors of n rows each, to one of n rows.
        *tensors: (N, K), and others of N rows.
    """
    out: Tensor | None = None
    for rows in pieces(tensors[0]):
        part = function(*(x[rows] for x in tensors))
        if len(part) == len(tensors[0]):
            return part
        out = part.new_empty(len(tensors[0]), *part.shape[1:]) if out is None else out
        out[rows] = part
    assert out is not None
    return out


def summed(term: Callable[..., Tensor], x: Tensor, *tensors: Tensor) -> Tensor:
    """Compute the sum of ``term(x, *tensors)`` over pieces of the rows, to be differentiated by x once.

    Each term is differentiated where it is computed, and what it needs for that is let go of.

    Args:
        term: A sum over rows, ().
        x: (n,) parameters.
        *tensors: (N, K), and others of N rows.
    """
    value, slope = torch.zeros((), dtype=x.dtype), torch.zeros_like(x)
    for rows in pieces(tensors[0]):
        point = x.detach().requires_grad_()
        part = term(point, *(t[rows] for t in tensors))
        slope += torch.autograd.grad(part, point)[0]
        value += part.detach()
    return value + (slope * (x - x.detach())).sum()  # the last is 0, and its gradient the slope
