"""Slow twins that several tests share."""

import numpy as np


def binned(probs, targets, n_bins=15):
    """Weight, accuracy - confidence, accuracy and count of each filled bin (lo, hi], one picture at a time."""
    probs = np.asarray(probs, dtype=np.float32)
    edges = [np.float32(i) / np.float32(n_bins) for i in range(n_bins + 1)]
    found = []
    for b in range(n_bins):
        low = -1 if b == 0 else edges[b]
        high = 2 if b == n_bins - 1 else edges[b + 1]
        inside = [i for i, p in enumerate(probs) if low < p.max() <= high]
        if inside:
            accuracy = float(np.mean([probs[i].argmax() == targets[i] for i in inside]))
            confidence = float(np.mean([float(probs[i].max()) for i in inside]))
            found.append((len(inside) / len(probs), accuracy - confidence, accuracy, len(inside)))
    return found
