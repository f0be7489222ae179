"""Exercise: causal attention (chapter 13 of the course).

Each position has a query, a key and a value. The products of a query with all keys are its scores; softmax makes attention
weights of them; and the result is the mean of the values, weighted by these (Vaswani et al. 2017, arXiv:1706.03762, eq. 1):

    attention(Q, K, V) = softmax(Q K^T / sqrt(width)) V

where width is that of a query and a key. With `causal=True` no position may attend to one that comes after it: such a score
becomes -inf before the softmax, so its weight is 0.

Hints. `key.swapaxes(-1, -2)` is K^T of each head in a batch. `np.tri(queries, keys, dtype=bool)` is True where a key isn't
after the query; `np.where(seen, scores, -np.inf)` and `mt.softmax(scores)` work on Tensors, and the engine records them. The
last check has fewer queries than keys, as when a model writes with a KV cache: then the last query stands at the last key
(`np.tri` has a third argument for that).

Check it: python -m pytest exercises/test_attention.py
"""

from typing import Any

import numpy as np

import microtensor as mt


def scaled_dot_product_attention(query: Any, key: Any, value: Any, causal: bool = False) -> Any:
    """The attended values (..., queries, value width), for query (..., queries, width), key (..., keys, width) and value
    (..., keys, value width)."""
    raise NotImplementedError("compute the scores, mask them, make weights of them, and average the values")
