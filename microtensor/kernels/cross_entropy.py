"""Cross-entropy of logits in one pass over each row."""

import numpy as np

from microtensor.kernels.runtime import threads
from microtensor.kernels.runtime.jit import kernel
from microtensor.kernels.softmax import padded, rows_together, softmax_of_block, total


@kernel
def _cross_entropy_rows(logits, target, ignore_index, smoothing, losses, gradient, first, last):
    """`cross_entropy` for rows first to last."""
    classes = logits.size // max(target.size, 1)
    if logits.ndim != 1 or target.ndim != 1 or target.size * classes != logits.size:
        raise ValueError("cross_entropy: the logits must be (rows * classes,) for a target (rows,)")
    if losses.shape != target.shape or gradient.shape != logits.shape:
        raise ValueError("cross_entropy: the losses must have the target's shape, and the gradient the logits'")
    one = logits.dtype.type(1)
    spread = logits.dtype.type(smoothing / max(classes, 1))
    sharp = logits.dtype.type(1 - smoothing)
    together = max(min(rows_together(classes), last - first), 1)
    n = padded(classes)
    raw = np.full(together * n, -np.inf, logits.dtype)
    powers = np.empty(raw.size, logits.dtype)
    shifts, totals = np.empty(together, logits.dtype), np.empty(together, logits.dtype)
    all_losses = 0.0
    count = 0
    for start in range(first, last, together):
        rows = min(together, last - start)
        softmax_of_block(logits, start * classes, classes, rows, raw, powers, 0, shifts, totals)
        for r in range(rows):
            i = start + r
            t = target[i]
            y = gradient[i * classes : (i + 1) * classes]
            if t == ignore_index:
                y[:] = 0
                losses[i] = 0
                continue
            if t < 0 or t >= classes:
                return all_losses, count, i
            x, p = logits[i * classes : (i + 1) * classes], powers[r * n : r * n + classes]
            _gradient(p, one / totals[r], spread, y)
            y[t] -= sharp
            log_total = np.log(totals[r])
            loss = sharp * ((shifts[r] - x[t]) + log_total)
            if smoothing != 0:
                loss += spread * (classes * (shifts[r] + log_total) - total(x))
            losses[i] = loss
            all_losses += loss
            count += 1
    return all_losses, count, -1


@kernel
def _gradient(powers, factor, spread, out):
    for j in range(powers.size):
        out[j] = powers[j] * factor - spread


def cross_entropy(logits, target, ignore_index, smoothing, losses, gradient):
    """The loss of each row, and its gradient with respect to the logits, which falls out of the same exponentials.

    With p = softmax(logits), the loss of target t is -log p[t], and its gradient is p - onehot(t). Label smoothing mixes the
    one-hot target with a uniform one, of weight `smoothing`.

    Args:
        logits: (rows * classes,), row after row.
        target: (rows,), integers; `ignore_index` means that the row doesn't count.
        losses: (rows,), filled.
        gradient: (rows * classes,), filled.

    Returns the sum of the losses, the number of rows that count, and the first row with a bad target or -1.
    """
    logits = np.ascontiguousarray(logits)
    rows = target.size
    if logits.size < threads.PART:
        return _cross_entropy_rows(logits, target, ignore_index, smoothing, losses, gradient, 0, rows)
    pieces = threads.parts(rows, 4 * logits.size // max(rows, 1))
    results = [(0.0, 0, -1)] * pieces

    def part(i):
        first, last = i * rows // pieces, (i + 1) * rows // pieces
        results[i] = _cross_entropy_rows(logits, target, ignore_index, smoothing, losses, gradient, first, last)

    threads.share(part, pieces)
    _, counts, bad = zip(*results, strict=True)
    worst = min((b for b in bad if b >= 0), default=-1)
    # Summed as a whole: sums of parts would be rounded differently for another number of threads.
    return losses.sum(dtype=np.float64) if worst < 0 else 0.0, sum(counts), worst
