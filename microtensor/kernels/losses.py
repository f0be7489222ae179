"""Cross-entropy of logits in one pass over each row."""

import numpy as np

from microtensor.kernels.jit import kernel


@kernel
def cross_entropy(logits, target, ignore_index, smoothing):
    """The loss of each row, and its slope in the logits, which falls out of the same exponentials.

    With p = softmax(logits), the loss of target t is -log p[t], and its slope is p - onehot(t). Label smoothing mixes the
    one-hot target with a uniform one, of weight `smoothing`.

    Args:
        logits: (rows, classes).
        target: (rows,), integers; `ignore_index` means that the row doesn't count.

    Returns (losses (rows,), slope (rows, classes), their sum, rows that count, first row with a bad target or -1).
    """
    rows, classes = logits.shape
    losses = np.zeros(rows, logits.dtype)
    slope = np.empty((rows, classes), logits.dtype)
    one = logits.dtype.type(1)
    spread = logits.dtype.type(smoothing / max(classes, 1))
    sharp = logits.dtype.type(1 - smoothing)
    total = 0.0
    count = 0
    for i in range(rows):
        t = target[i]
        if t == ignore_index:
            slope[i] = 0
            continue
        if t < 0 or t >= classes:
            return losses, slope, total, count, i
        largest = logits[i, 0]
        for j in range(1, classes):
            if not logits[i, j] <= largest:  # so that NaN wins
                largest = logits[i, j]
        if largest == -np.inf:
            largest = one - one  # nothing is possible: all probabilities are 0, and the loss is infinite
        weight = one - one
        above = one - one
        for j in range(classes):
            e = np.exp(logits[i, j] - largest)
            slope[i, j] = e
            weight += e
            above += logits[i, j] - largest
        if weight == 0:
            weight = one
        scale = one / weight
        log_weight = np.log(weight)
        for j in range(classes):
            slope[i, j] = slope[i, j] * scale - spread
        slope[i, t] -= sharp
        loss = sharp * (log_weight - (logits[i, t] - largest))
        if smoothing != 0:
            loss += spread * (classes * log_weight - above)
        losses[i] = loss
        total += loss
        count += 1
    return losses, slope, total, count, -1
