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
        target: the token that came next; the model's likeliest where it is None.
    """

    def __init__(self, model: Model, tokens: Sequence[int], target: int | None = None) -> None:
        model.eval()
        self.model = model
        self.tokens = list(tokens)[-model.recipe.context :]
        #: What the model gave, for each position where it predicts after every token.
        self.scores: Tensor = model(np.array([self.tokens]))
        #: The scores for each token of the vocabulary: (vocabulary,).
        self.logits: Tensor = self.scores[0, -1] if self.scores.ndim == 3 else self.scores[0]
        #: The token that came next; the likeliest one where nobody says.
        self.target = int(self.logits.data.argmax()) if target is None else target
        self.guessed = target is None
        #: -log p(target).
        self.loss: Tensor = mt.cross_entropy(self.logits.reshape((1, -1)), [self.target])
        #: Everything that the engine computed on the way.
        self.recorded: list[Step] = mt.trace(self.loss)
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._made = {id(step.output): step for step in self.recorded}

    def path(self, step: Step) -> str:
        """The path of the module in whose forward a step was made: "blocks.0.attention"; "" for the model's own."""
        return self._paths.get(id(step.module), "")

    def is_embedding(self, x: object) -> bool:
        """Tell if something was looked up in a table: an embedding of tokens, or of positions."""
        made = self._made.get(id(x))
        return made is not None and made.op == "embedding"

    def source(self, tensor: Tensor) -> Step:
        """The recorded step that computed a Tensor. Raises KeyError for one that wasn't computed here."""
        return self._made[id(tensor)]

    @property
    def tables(self) -> list[Tensor]:
        """The tables of the tokens' embeddings, in the order of their use: one, or one for each position.

        A table is one of tokens where it is looked up by them, and not by their positions."""
        found = []
        for step in self.recorded:
            if step.op in ("embedding", "embedding_bag"):
                index = np.asarray(step.inputs[0]).reshape(-1).tolist()
                if index == self.tokens or (len(index) == 1 and index[0] in self.tokens):
                    found.append(step.inputs[1])
        return list(dict.fromkeys(found))

    @property
    def sums_embeddings(self) -> bool:
        """Tell if embeddings of tokens and of positions are added up before anything else is done with them."""
        return any(step.op == "add" and all(map(self.is_embedding, step.inputs)) for step in self.recorded)

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
    def attention(self) -> dict[Step, np.ndarray]:
        """For each recorded step of attention its weights: (heads, time, time), rows that add up to 1.

        They follow from what the engine recorded. Where a lesson writes attention out, they are its softmax."""
        found, time = {}, len(self.tokens)
        for step in self.recorded:
            if step.op == "multi_head_attention":
                query, key, _ = mt.split_heads(step.inputs[0].data, step.options["heads"])
                found[step] = mt.attention_weights(query, key, causal=step.options["causal"])[0]
            elif step.op == "scaled_dot_product_attention":
                query, key = (x.data for x in step.inputs[:2])
                weights = mt.attention_weights(query, key, causal=step.options["causal"], scale=step.options["scale"])
                found[step] = weights.reshape((-1, *weights.shape[-2:]))
            elif step.op == "softmax" and step.output.shape[-2:] == (time, time):
                found[step] = step.output.data.reshape((-1, time, time))
        return found

    def learn(self, factor: float) -> Walk:
        """The guess of a copy of the model after one step of its optimizer, for this example alone, at `factor` of its learning
        rate."""
        model = copy.deepcopy(self.model)
        Walk(model, self.tokens, self.target).loss.backward()
        if model.recipe.grad_clip is not None:
            clip_grad_norm(model.parameters(), model.recipe.grad_clip)
        model.recipe.optimizer(model).step(factor)
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
