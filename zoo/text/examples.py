"""Cutting a text into examples: what the model sees, and what comes next."""

from __future__ import annotations

import numpy as np

from zoo.errors import DataError


def next_token_windows(tokens: np.ndarray, context: int, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """Every run of `context` tokens, (examples, context), and the token after each, (examples,).

    Raises DataError, stating both lengths, when the text doesn't hold a single example.
    """
    if len(tokens) == 0:
        raise DataError(f"the text is too short: it holds no {unit} (0 {unit}); give a text with some")
    if len(tokens) <= context:
        raise DataError(
            f"the text is too short: it has {len(tokens)} {unit}, and one example takes {context + 1} "
            f"(a context of {context} and the next); give a longer text or a smaller --context"
        )
    windows = np.lib.stride_tricks.sliding_window_view(tokens, context)[:-1]
    return np.ascontiguousarray(windows), tokens[context:].copy()
