"""Class frequencies of images without labels, by maximum likelihood (EM) and from the confusion matrix (BBSE)."""

from typing import NamedTuple

import torch
from torch import Tensor

MOST_STEPS = 2000
PRECISE = 1e-7  # largest step of a class's frequency at which EM ends
PRECISE_DRAW = 1e-5  # in a bootstrap draw, of which the interval needs two digits
DRAWS = 200
COVERED = 0.95
SINGULAR = 0.1  # least singular value of the confusion matrix: below it an error of 1 % in it may be 10 % of q
FEW = 5  # held-out images of a class


class Estimate(NamedTuple):
    """Frequencies q (K,) float64, which sum to 1, and a bootstrap interval for each class, (K,) low and high."""

    prior: Tensor
    low: Tensor
    high: Tensor


def em(
    probs: Tensor, own: Tensor, counts: Tensor | None = None, start: Tensor | None = None, precise: float = PRECISE
) -> Tensor:
    """Find the q that maximizes sum_i m_i log sum_c p_ic q_c / r_c, by EM from q = r.

    q_c <- sum_i m_i p'_ic / sum_i m_i with p'_ic in proportion to p_ic q_c / r_c. The likelihood is concave in q: there
    is one maximum.

    Args:
        probs: p (N, K) float, posteriors under r.
        own: r (K,) float64.
        counts: m (N,) or (N, B), how often each image counts; None is once. B are estimated side by side.
        start: (K,) or (K, B), q to begin from.
        precise: Ends at a largest step of q below it.

    Shape:
        Returns (K,) or (K, B) float64.

    Reference:
        Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori Probabilities", Neural Computation 2002,
        equation 2.9.
    """
    ratio = probs.double() / own.double()  # p(x | c), but for a factor of x
    ratio = ratio / ratio.amax(dim=1, keepdim=True)
    m = torch.ones(len(probs), dtype=torch.float64) if counts is None else counts.double()
    one, m = m.ndim == 1, m.reshape(len(probs), -1)
    q = (own if start is None else start).double().reshape(len(own), -1).expand(-1, m.shape[1])
    for _ in range(MOST_STEPS):
        new = q * (ratio.T @ (m / (ratio @ q))) / m.sum(dim=0)
        done = float((new - q).abs().max()) < precise
        q = new
        if done:
            break
    return q[:, 0] if one else q


def estimate_em(probs: Tensor, own: Tensor, seed: int = 0) -> Estimate:
    """Estimate q by :func:`em`, with percentile intervals of 95 % from 200 bootstrap draws of the images.

    The intervals are of the drawing of these images alone: they take the model's probabilities as calibrated.

    Args:
        probs: (N, K) float, posteriors under ``own``.
        own: r (K,) float64.
        seed: Of the draws.
    """
    draws = torch.Generator().manual_seed(seed)
    n, found = len(probs), em(probs, own)
    counts = torch.stack([torch.bincount(torch.randint(n, (n,), generator=draws), minlength=n) for _ in range(DRAWS)])
    # From a little inside: what is 0 in EM stays 0, and a class may be in a draw though it is hardly in the whole.
    start = 0.9 * found + 0.1 / len(own)
    return _with_interval(found, em(probs, own, counts.T, start[:, None], PRECISE_DRAW))


def confusion(predicted: Tensor, targets: Tensor, k: int, counts: Tensor | None = None) -> Tensor:
    """Compute C_jc = P(predicted j | class c), (K, K) float64; a column of a class without an image is 0."""
    m = torch.ones(len(targets), dtype=torch.float64) if counts is None else counts.double()
    table = torch.zeros(k * k, dtype=torch.float64).index_add(0, predicted * k + targets, m).reshape(k, k)
    return table / table.sum(dim=0).clamp(min=1)


def bbse(matrix: Tensor, shares: Tensor) -> Tensor:
    """Solve C q = mu by least squares, negative frequencies set to 0, and scale to sum to 1.

    Args:
        matrix: C (K, K) float64, of :func:`confusion`.
        shares: mu (K,) float64, how often each class is predicted of the images without labels.

    Reference:
        Lipton et al., "Detecting and Correcting for Label Shift with Black Box Predictors", ICML 2018, section 4.
    """
    q = torch.linalg.lstsq(matrix, shares[:, None], driver="gelsd").solution[:, 0].clamp(min=0)
    return q / q.sum()


def estimate_bbse(predicted: Tensor, held_out: Tensor, targets: Tensor, k: int, seed: int = 0) -> Estimate:
    """Estimate q by :func:`bbse`, with percentile intervals of 95 % from 200 draws of the images and held-out ones.

    It asks nothing of the probabilities; held-out images are drawn within their class.

    Args:
        predicted: (N,) int64, classes predicted of the images without labels.
        held_out: (M,) int64, of the held-out ones.
        targets: (M,) int64, their labels.
        k: K.
        seed: Of the draws.
    """
    draws = torch.Generator().manual_seed(seed)

    def share(of: Tensor) -> Tensor:
        return torch.bincount(of, minlength=k).double() / len(of)

    rows = [torch.nonzero(targets == c)[:, 0] for c in range(k)]
    found, others = bbse(confusion(held_out, targets, k), share(predicted)), []
    for _ in range(DRAWS):
        again = torch.cat([r[torch.randint(len(r), (len(r),), generator=draws)] for r in rows if len(r)])
        new = predicted[torch.randint(len(predicted), (len(predicted),), generator=draws)]
        others.append(bbse(confusion(held_out[again], targets[again], k), share(new)))
    return _with_interval(found, torch.stack(others, dim=1))


def doubts_of_bbse(held_out: Tensor, targets: Tensor, k: int) -> list[str]:
    """Say where :func:`estimate_bbse` cannot be trusted: sentences."""
    counts = torch.bincount(targets, minlength=k)
    least = float(torch.linalg.svdvals(confusion(held_out, targets, k))[-1])
    found = []
    if least < SINGULAR:
        found.append(
            f"the confusion matrix is near singular (least singular value {least:.2g}, below {SINGULAR}): "
            "some classes are predicted alike, and BBSE cannot tell their frequencies"
        )
    if int(counts.min()) < FEW:
        found.append(
            f"{int((counts < FEW).sum())} of the {k} classes have less than {FEW} held-out images, on which BBSE stands"
        )
    return found


def doubts_of_em(probs: Tensor, own: Tensor, held_out: Tensor | None, targets: Tensor | None) -> list[str]:
    """Say where :func:`estimate_em` cannot be trusted: sentences.

    Where there is a held-out part its known frequencies are estimated too: a class that is out of its interval by more
    than that is wide says that the probabilities are not what EM takes them for.

    Args:
        probs: (N, K) float, of the images without labels.
        own: r (K,) float64.
        held_out: (M, K) float, of the held-out part.
        targets: (M,) int64, its labels.
    """
    n, k = probs.shape
    found = [f"{n} images for {k} classes: fewer than ten each settle little"] if n < 10 * k else []
    if held_out is None or targets is None:
        found.append("no held-out part says whether the run's probabilities are calibrated, on which EM stands")
    else:
        known = torch.bincount(targets, minlength=k).double() / len(targets)
        q, low, high = estimate_em(held_out, own)
        wide = 2 * (high - low)  # an interval of 95 % misses a class in twenty by itself
        bad = torch.nonzero((known < q - wide) | (known > q + wide))[:, 0].tolist()
        if bad:
            c = max(bad, key=lambda c: float((known[c] - q[c]).abs()))
            found.append(
                f"of the held-out part, where class {c} is {100 * known[c]:.1f} %, EM says {100 * q[c]:.1f} %: the "
                "run's probabilities are not calibrated (python -m lt_calib.calibrate)"
            )
    return found


def _with_interval(found: Tensor, draws: Tensor) -> Estimate:
    tail = (1 - COVERED) / 2
    low, high = torch.quantile(draws, torch.tensor([tail, 1 - tail], dtype=torch.float64), dim=1)
    return Estimate(found, torch.minimum(low, found), torch.maximum(high, found))
