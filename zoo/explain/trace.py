"""One prediction as the engine recorded it: what went in, every number on the way, and the gradients on the way back."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property

import numpy as np

import microtensor as mt
from microtensor import Step, Tensor
from microtensor.optim import clip_grad_norm
from zoo.model import Model


class Walk:
    """A model's guess at what comes after some tokens, and the token that really came.

    Args:
        model: the model, which isn't changed.
        tokens: what came before, at least one; of a text longer than the model's context, the end is looked at.
        target: the token that came next.
    """

    def __init__(self, model: Model, tokens: Sequence[int], target: int) -> None:
        model.eval()
        self.model = model
        self.tokens = list(tokens)[-model.recipe.context :]
        self.target = target
        scores = model(np.array([self.tokens]))
        #: The scores for each token of the vocabulary: (vocabulary,).
        self.logits: Tensor = scores[0, -1] if scores.ndim == 3 else scores[0]
        #: -log p(target).
        self.loss: Tensor = mt.cross_entropy(self.logits.reshape((1, -1)), [target])
        #: Everything that the engine computed on the way.
        self.recorded: list[Step] = mt.trace(self.loss)

    def uses(self, op: str) -> list[Step]:
        """Each recorded use of an op."""
        return [step for step in self.recorded if step.op == op]

    def source(self, tensor: Tensor) -> Step:
        """The recorded step that computed a Tensor. Raises KeyError for one that wasn't computed here."""
        for step in self.recorded:
            if step.output is tensor:
                return step
        raise KeyError("not computed here")

    def reader(self, tensor: Tensor) -> Step:
        """The first recorded step that used a Tensor as its first input. Raises KeyError."""
        for step in self.recorded:
            if step.inputs and step.inputs[0] is tensor:
                return step
        raise KeyError("not used here")

    @property
    def tables(self) -> list[Tensor]:
        """The tables of the tokens' embeddings, in the order of their use: one, or one for each position."""
        found = [step.inputs[1] for step in self.recorded if step.op in ("embedding", "embedding_bag")]
        return found[:1] if self.attends else found  # (a transformer's second table has a row for each place)

    @property
    def attends(self) -> bool:
        """Whether the model looks back by attention."""
        return bool(self.uses("multi_head_attention"))

    @cached_property
    def probabilities(self) -> np.ndarray:
        """softmax(logits): (vocabulary,)."""
        return mt.softmax(self.logits.data)

    @cached_property
    def gradients(self) -> dict[Tensor, np.ndarray]:
        """The derivatives of the loss with respect to the logits and all parameters, from one walk back."""
        wanted = [self.logits, *self.model.parameters()]
        return {tensor: g.numpy() for tensor, g in zip(wanted, mt.grad(self.loss, wanted), strict=True)}

    def gradient(self, tensor: Tensor) -> np.ndarray:
        """The derivative of the loss with respect to each number of the logits, or of a parameter."""
        return self.gradients[tensor]

    @cached_property
    def attention(self) -> list[np.ndarray]:
        """For each layer the attention weights: (heads, time, time), rows that add up to 1. Empty for a model without
        attention.

        They are computed from what the engine recorded. Where a lesson writes attention out, they are its softmax."""
        found = []
        for step in self.recorded:
            if step.op == "multi_head_attention":
                query, key, _ = mt.split_heads(step.inputs[0].data, step.options["heads"])
                found.append(mt.attention_weights(query, key, causal=step.options["causal"])[0])
            elif step.op == "scaled_dot_product_attention":
                query, key, _ = (x.data for x in step.inputs)
                found.append(mt.attention_weights(query, key, causal=step.options["causal"], scale=step.options["scale"])[0])
            elif step.op == "softmax" and step.output.ndim == 4:
                found.append(step.output.data[0])
        return found

    def learn(self, factor: float) -> Walk:
        """The guess of a copy of the model after one step of its optimizer, for this example alone, at `factor` of its learning
        rate."""
        model = copy.deepcopy(self.model)
        Walk(model, self.tokens, self.target).loss.backward()
        if model.recipe.clip is not None:
            clip_grad_norm(model.parameters(), model.recipe.clip)
        model.optimizer().step(factor)
        model.zero_grad()
        return Walk(model, self.tokens, self.target)


def what_follows(documents: Sequence[np.ndarray], tokens: Sequence[int]) -> int | None:
    """The token that follows these tokens, where they first stand in some texts; None where they don't."""
    for document in documents:
        places = np.arange(len(document) - len(tokens))
        for offset, token in enumerate(tokens):
            places = places[document[places + offset] == token]
        if len(places):
            return int(document[places[0] + len(tokens)])
    return None
