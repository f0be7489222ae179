"""Exercise: softmax, an op with its gradient (chapter 6 of the course).

Softmax makes probabilities of logits x, along an axis:

    p_i = e^(x_i) / sum over j of e^(x_j)

An op returns two things: its value, and its *pullback*, a function that takes the gradient g of the loss with respect to the
value and returns a tuple with the gradient with respect to each input. Here there is one input. Every p_i depends on every
logit (Bridle 1990, "Probabilistic Interpretation of Feedforward Classification Network Outputs"):

    dp_i / dx_j = p_i * (1 - p_j) if i = j, else -p_i * p_j

so the gradient at x_j is the sum over i of g_i * dp_i / dx_j. Written out, it is one short line of NumPy.

Hints. `microtensor/README.md` shows an op. With `keepdims=True` a sum still fits beside the array that it was made of. Adding
the same number to all logits changes nothing, so subtract the largest before e^x can overflow; leave x itself as it is.

Check it: python -m pytest exercises/test_softmax.py
"""

from typing import Any

import numpy as np

from microtensor import differentiable


@differentiable
def softmax(x: Any, /, axis: int = -1) -> tuple[Any, Any]:
    """Probabilities of the logits x, an array of floats, along an axis: of the shape of x; and their pullback."""
    raise NotImplementedError("return the probabilities, and a function that takes g and returns (gradient of x,)")
