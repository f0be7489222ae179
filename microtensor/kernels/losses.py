"""Cross-entropy of logits in one pass over each row."""

import numpy as np

from microtensor.kernels.jit import kernel


@kernel
def cross_entropy(logits, target, ignore_index, smoothing, losses, slope):
    """The loss of each row, and its slope in the logits, which falls out of the same exponentials.

    With p = softmax(logits), the loss of target t is -log p[t], and its slope is p - onehot(t). Label smoothing mixes the
    one-hot target with a uniform one, of weight `smoothing`.

    Args:
        logits: (rows * classes,), row after row.
        target: (rows,), integers; `ignore_index` means that the row doesn't count.
        losses: (rows,), filled.
        slope: (rows * classes,), filled.

    Returns the sum of the losses, how many rows count, and the first row with a bad target or -1.
    """
    rows = target.size
    classes = logits.size // max(rows, 1)
    one = logits.dtype.type(1)
    spread = logits.dtype.type(smoothing / max(classes, 1))
    sharp = logits.dtype.type(1 - smoothing)
    total = 0.0
    count = 0
    for i in range(rows):
        t = target[i]
        x = logits[i * classes : (i + 1) * classes]
        y = slope[i * classes : (i + 1) * classes]
        if t == ignore_index:
            y[:] = 0
            losses[i] = 0
            continue
        if t < 0 or t >= classes:
            return total, count, i
        largest = x[0]
        for j in range(1, classes):
            if x[j] > largest:
                largest = x[j]
        if largest == -np.inf:
            largest = one - one  # nothing is possible: all probabilities are 0, and the loss is infinite
        weight = one - one
        for j in range(classes):
            e = np.exp(x[j] - largest)
            y[j] = e
            weight += e
        if weight == 0:
            weight = one
        scale = one / weight
        for j in range(classes):
            y[j] = y[j] * scale - spread
        y[t] -= sharp
        log_weight = np.log(weight)
        loss = sharp * (log_weight - (x[t] - largest))
        if smoothing != 0:
            for j in range(classes):
                loss += spread * (log_weight - (x[j] - largest))
        losses[i] = loss
        total += loss
        count += 1
    return total, count, -1
