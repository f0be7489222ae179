"""Exercise: the probabilities that a sampler draws from, with temperature, top-k and top-p (chapter 8 of the course).

A model gives a logit for each token of the vocabulary. Three settings decide how boldly a token is drawn:

1. The logits are divided by the *temperature*, and softmax makes probabilities of them: below 1 likely tokens become likelier
   still, and above 1 all become more alike. At 0 the likeliest token has all of the probability.
2. *top-k* keeps only the k likeliest tokens.
3. *top-p* keeps the fewest of the likeliest tokens that together have at least the probability p (Holtzman et al. 2019,
   arXiv:1904.09751): one after the other, the likeliest first, until their sum has reached p.

The probabilities of what is kept are divided by their sum, and those of all other tokens are 0.

Hints. `np.argsort(-p)` lists the tokens, the likeliest first, and `np.cumsum` adds up as it goes. Subtract the largest logit
before e^x can overflow. The logits belong to the caller: leave them as they are. To draw a token: `rng.choice(len(p), p=p)`.

Check it: python -m pytest exercises/test_sampling.py
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sampling:
    """The rule by which a token is drawn."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """The probabilities of the tokens, float64 (vocabulary,), for logits (vocabulary,)."""
        raise NotImplementedError("divide by the temperature, make probabilities, and keep the likely ones")
