"""One prediction as the engine recorded it: each step with the module it was made in, and the gradients on the way back."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import microtensor as mt
from microtensor import Step, Tensor
from microtensor.optim import clip_grad_norm
from zoo.inference.decoder import check_logits
from zoo.model import Model


@dataclass(frozen=True, eq=False)
class Lookup:
    """Rows of a table of embeddings that were looked up: for tokens, or for positions."""

    step: Step
    table: Tensor
    #: Which rows.
    indices: list[int]
    of_positions: bool


class Trace:
    """A model's prediction of what comes after some tokens, and the target that its loss compares it with.

    The prediction is made at once; everything else is computed when it is asked for.

    Args:
        model: the model, which isn't changed.
        tokens: what came before, at least one; of a text longer than the model's context, the end is looked at.
        target: the token that should come next; the model's likeliest where it is None.
    """

    def __init__(self, model: Model, tokens: Sequence[int], target: int | None = None) -> None:
        model.eval()
        self.model = model
        #: All that came before, and as much of it as the model sees.
        self.given = list(tokens)
        self.tokens = self.given[-model.recipe.context :]
        #: What the model gave: (1, vocabulary), or (1, time, vocabulary) where it predicts after every token.
        with np.errstate(all="ignore"):
            self.all_logits: Tensor = model(np.array([self.tokens]))
        #: The logits of what comes next: (vocabulary,).
        self.logits: Tensor = self.all_logits[0, -1] if self.all_logits.ndim == 3 else self.all_logits[0]
        check_logits(self.logits.data)
        self.guessed = target is None
        self.target = int(self.logits.data.argmax()) if target is None else target
        #: -log p(target).
        self.loss: Tensor = mt.cross_entropy(self.logits.reshape((1, -1)), [self.target])
        #: Every op that led to the loss, in the order of computing.
        self.steps: list[Step] = mt.trace(self.loss)
        #: The model's modules by path; "" is the model itself.
        self.modules = dict(model.named_modules())
        self._paths = {id(module): path for path, module in self.modules.items()}
        self._order = {id(step.output): i for i, step in enumerate(self.steps)}

    # Where a step was made

    @property
    def time(self) -> int:
        """The number of positions."""
        return len(self.tokens)

    def path(self, step: Step) -> str:
        """The path of the module in whose forward a step was made: "blocks.0.attention"; "" for the model's own."""
        return self._paths.get(id(step.module), "")

    def child(self, step: Step, root: str) -> str:
        """The path of the child of the module at `root` in which a step was made; "" for the module's own forward."""
        names = self.path(step).split(".")
        for length in range(root.count(".") + 2 if root else 1, len(names) + 1):
            path = ".".join(names[:length])
            if path and path in self.modules:  # (a list has a name, but is no module)
                return path
        return ""

    # What a Tensor was computed from

    def position(self, tensor: object) -> int:
        """The index of the step that computed a Tensor; -1 for what wasn't computed here."""
        return self._order.get(id(tensor), -1)

    def behind(self, tensor: Tensor, since: int = 0) -> set[int]:
        """The indices of all steps that a Tensor was computed by, back to the step `since`."""
        found: set[int] = set()
        waiting: list[object] = [tensor]
        while waiting:
            at = self.position(waiting.pop())
            if at >= since and at not in found:
                found.add(at)
                waiting.extend(self.steps[at].inputs)
        return found

    def depends(self, tensor: Tensor, on: Tensor) -> bool:
        """Tell if a Tensor was computed from another that was computed here."""
        at = self.position(on)
        return at >= 0 and at in self.behind(tensor, at)

    @cached_property
    def _fixed(self) -> set[int]:
        found = set(map(id, self.model.parameters()))
        for step in self.steps:
            arrays = [x for x in (*step.inputs, step.options.get("key")) if isinstance(x, np.ndarray) and x.ndim]
            if not arrays and all(id(x) in found for x in step.inputs if isinstance(x, Tensor)):
                found.add(id(step.output))
        return found

    def fixed(self, x: object) -> bool:
        """Tell if something is a parameter, or was computed from parameters alone: the same for every text."""
        return id(x) in self._fixed

    # Embeddings and attention

    @cached_property
    def lookups(self) -> list[Lookup]:
        """Each time that the rows of some tokens or positions were looked up in a table of embeddings."""
        found: list[Lookup] = []
        positions = list(range(self.time))
        for step in self.steps:
            if step.op in ("embedding", "embedding_bag"):
                index, table = step.inputs
            elif step.op == "getitem" and isinstance(step.options["key"], np.ndarray):  # weight[tokens]
                index, table = step.options["key"], step.inputs[0]
            else:
                continue
            table = self._rows_of(table)
            if np.asarray(index).dtype.kind not in "iu" or not any(table is p for p in self.model.parameters()):
                continue
            indices = np.asarray(index).reshape(-1).tolist()
            starts = range(self.time - len(indices) + 1)
            of_tokens = any(self.tokens[i : i + len(indices)] == indices for i in starts) and len(table) == len(self.logits)
            # (Where the tokens happen to be 0, 1, 2, ..., the first such lookup is theirs.)
            if indices == positions and (not of_tokens or any(x.indices == positions for x in found)):
                found.append(Lookup(step, table, indices, True))
            elif of_tokens:
                found.append(Lookup(step, table, indices, False))
        return found

    def _rows_of(self, table: Tensor) -> Tensor:
        """The table that a table was computed from row by row: the model's own, whose rows were multiplied by a weight."""
        step = self.steps[self.position(table)]
        return step.inputs[0] if self.position(table) >= 0 and step.op in ("linear", "matmul") else table

    @property
    def token_tables(self) -> list[Tensor]:
        """The tables of the tokens' embeddings, in the order of their use: one, or one for each position."""
        return list({id(x.table): x.table for x in self.lookups if not x.of_positions}.values())

    @cached_property
    def embeddings(self) -> list[Step]:
        """The steps that made embeddings: lookups, and sums of nothing but them and constants."""
        found = [x.step for x in self.lookups if x.step.op != "embedding_bag"]
        made = {id(step.output) for step in found}
        for step in self.steps:
            tensors = [id(x) for x in step.inputs if isinstance(x, Tensor) and not self.fixed(x)]
            if step.op == "add" and tensors and made.issuperset(tensors):
                found.append(step)
                made.add(id(step.output))
        return found

    def attends(self, step: Step) -> bool:
        """Tell if a step weighs positions: fused attention, or a softmax over every pair of positions."""
        pairs = (self.time, self.time)
        fused = step.op in ("multi_head_attention", "scaled_dot_product_attention")
        return fused or (step.op == "softmax" and step.output.ndim > 2 and step.output.shape[-2:] == pairs)

    def attention_weights(self, step: Step, query: int = 0) -> np.ndarray:
        """The weights of a step that attends, from the query position `query` on, which may count from the end: (heads,
        queries, time), rows that add up to 1."""
        if step.op == "softmax":
            weights = step.output.data[..., query:, :]
        elif step.op == "multi_head_attention":
            queries, keys, _ = mt.split_heads(step.inputs[0].data, step.options["heads"])
            weights = mt.attention_weights(queries[..., query:, :], keys, causal=step.options["causal"])
        else:
            queries, keys = (x.data if isinstance(x, Tensor) else x for x in step.inputs[:2])
            weights = mt.attention_weights(queries[..., query:, :], keys, **step.options)
        return np.asarray(weights).reshape((-1, *weights.shape[-2:]))

    @property
    def attention(self) -> list[tuple[str, np.ndarray]]:
        """For each use of attention the path of its module, and its weights: (heads, time, time)."""
        return [(self.path(step), self.attention_weights(step)) for step in self.steps if self.attends(step)]

    # Probabilities, gradients, learning

    @cached_property
    def probabilities(self) -> np.ndarray:
        """softmax(logits): (vocabulary,)."""
        return mt.softmax(self.logits.data)

    @cached_property
    def _gradients(self) -> dict[int, np.ndarray]:
        wanted = [self.logits, *(p for p in self.model.parameters() if p.requires_grad)]
        return {id(x): gradient.numpy() for x, gradient in zip(wanted, mt.grad(self.loss, wanted), strict=True)}

    def gradient(self, tensor: Tensor) -> np.ndarray:
        """The derivative of the loss with respect to each of the logits, or of a parameter (0 where it is frozen). One backward
        pass gives all."""
        found = self._gradients.get(id(tensor))
        return np.zeros(tensor.shape, tensor.dtype) if found is None else found

    def learned(self, factor: float) -> Model:
        """Copy the model and let the copy make one step of its optimizer, for this example alone, at `factor` of its learning
        rate."""
        model = copy.deepcopy(self.model)
        for ours, theirs in zip(self.model.parameters(), model.parameters(), strict=True):
            theirs.grad = Tensor(self.gradient(ours))
        if model.recipe.grad_clip is not None:
            clip_grad_norm(model.parameters(), model.recipe.grad_clip)
        model.recipe.optimizer(model).step(factor)
        model.zero_grad()
        return model


def what_follows(documents: Sequence[np.ndarray], tokens: Sequence[int]) -> int | None:
    """The token that follows these tokens, where they first stand in some texts; None where they don't."""
    for document in documents:
        places = np.arange(len(document) - len(tokens))
        for offset, token in enumerate(tokens):
            places = places[document[places + offset] == token]
        if len(places):
            return int(document[places[0] + len(tokens)])
    return None
