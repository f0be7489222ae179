"""Cross-entropy of logits in one pass over each row."""

import numpy as np

from microtensor.kernels.jit import kernel


@kernel
def cross_entropy(logits, target, ignore_index, smoothing, losses, slope):
    """The loss of each row, and its slope in the logits, which falls out of the same exponentials.

    With p = softmax(logits), the loss of target t is -log p[t], and its slope is p - onehot(t). Label smoothing mixes the
    one-hot target with a uniform one, of weight `smoothing`.

    Args:
        logits: (rows, classes).
        target: (rows,), integers; `ignore_index` means that the row doesn't count.
        losses: (rows,), filled.
        slope: (rows, classes), filled.

    Returns the sum of the losses, how many rows count, and the first row with a bad target or -1.
    """
    rows, classes = logits.shape
    one = logits.dtype.type(1)
    spread = logits.dtype.type(smoothing / max(classes, 1))
    sharp = logits.dtype.type(1 - smoothing)
    total = 0.0
    count = 0
    for i in range(rows):
        t = target[i]
        if t == ignore_index:
            slope[i] = 0
            losses[i] = 0
            continue
        if t < 0 or t >= classes:
            return total, count, i
        largest = logits[i, 0]
        for j in range(1, classes):
            if logits[i, j] > largest:
                largest = logits[i, j]
        if largest == -np.inf:
            largest = one - one  # nothing is possible: all probabilities are 0, and the loss is infinite
        weight = one - one
        for j in range(classes):
            e = np.exp(logits[i, j] - largest)
            slope[i, j] = e
            weight += e
        if weight == 0:
            weight = one
        scale = one / weight
        for j in range(classes):
            slope[i, j] = slope[i, j] * scale - spread
        slope[i, t] -= sharp
        log_weight = np.log(weight)
        loss = sharp * (log_weight - (logits[i, t] - largest))
        if smoothing != 0:
            for j in range(classes):
                loss += spread * (log_weight - (logits[i, j] - largest))
        losses[i] = loss
        total += loss
        count += 1
    return total, count, -1
