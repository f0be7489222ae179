"""The base of every model, so that one trainer, one generator and one set of commands serve them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from microtensor import Tensor, nn, no_grad
from microtensor.optim import SGD, Optimizer, constant
from zoo.cache import Cache, TokenCache
from zoo.datasets.batches import Dataset, SequenceDataset, WindowDataset
from zoo.datasets.corpus import Corpus, read_text
from zoo.recipe import Recipe
from zoo.tokenizers.characters import CharTokenizer
from zoo.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True)
class Moment:
    """A moment of training, for the line that is printed about it."""

    step: int
    steps: int
    #: How many passes over the text are done, and how many there will be.
    epoch: int
    epochs: int
    #: The mean loss of the last steps.
    loss: float
    #: The loss on the validation split; None where there is none.
    validation: float | None
    learning_rate: float
    #: How many tokens are guessed and learned from in a second.
    speed: float
    #: The step's first example, as text: what the model saw, what came next, and what it guessed.
    example: Callable[[], dict[str, str]] = field(repr=False)


#: A module's call, without the cost of super() at every step.
_call = nn.Module.__call__


class Model(nn.Module):
    """A language model: `logits = model(tokens)`, scores for what comes next.

    tokens is (batch, time), whole numbers; logits are (batch, vocabulary), or (batch, time, vocabulary) for a model that
    guesses after every token. A subclass is one file in `zoo/models/`. It needs `__init__` and `forward`, and nothing else: all
    the rest has defaults. It defines `new_cache` where `forward` takes a cache, and `optimizer` and `schedule` where it isn't
    trained by SGD at a constant rate.
    """

    #: One line for the table of models.
    about: ClassVar[str] = ""
    #: The text it learns from.
    corpus: ClassVar[Corpus] = Corpus("verses.txt")
    #: How it is trained.
    recipe_class: ClassVar[type[Recipe]] = Recipe
    #: How its text becomes tokens.
    tokenizer_class: ClassVar[type[Tokenizer]] = CharTokenizer
    #: Whether each line of the text stands for itself: no example then reaches from one into the next.
    by_line: ClassVar[bool] = False
    #: Whether it has learned from conversations: a run records it, and prompts are put into the chat template.
    chat: bool = False
    #: The loss that is shown is the mean over so many last steps; None for those of an epoch.
    recent: ClassVar[int | None] = None
    #: Whether the parameters with the lowest held-out loss are kept for use, where there is held-out text; else the last ones.
    keeps_best: ClassVar[bool] = True
    #: The loss it reaches with its own recipe, and in how many seconds on two cores, for the table of models; None if nobody
    #: has measured it.
    trains: ClassVar[tuple[float, float] | None] = None
    #: By how many tokens a text is continued unless told.
    tokens: ClassVar[int] = 20
    #: What to do with a trained model: a command, with the run and an opening put in.
    invitation: ClassVar[str] = "python -m zoo.generate {run} --prompt {opening}"
    #: What training shows the trained model's predictions for.
    tries: ClassVar[tuple[str, ...]] = ()
    #: What training lets the trained model continue (a place in the text if None), by how many tokens, at which temperature.
    sample: ClassVar[tuple[str | None, int, float]] = (None, 12, 0.8)

    def __init__(self, recipe: Recipe, vocabulary: int, rng: np.random.Generator) -> None:
        self.recipe = recipe
        self.vocabulary = vocabulary
        #: The source of chance for dropout.
        self.noise = np.random.default_rng()

    @classmethod
    def read_corpus(cls, recipe: Recipe) -> str:
        """The text to learn from: the user's, or the model's own."""
        return cls.corpus.read() if recipe.data is None else read_text(recipe.data)

    @classmethod
    def make_tokenizer(cls, recipe: Recipe, text: Callable[[], str]) -> Tokenizer:
        """Make the tokenizer for a recipe's text, which is read only if the tokenizer asks for it. Where the recipe has a
        `vocabulary_size`, that is the largest vocabulary wanted."""
        alphabet = cls.corpus.alphabet if recipe.data is None else None
        size = getattr(recipe, "vocabulary_size", None)
        return cls.tokenizer_class.train_on(lambda: cls.documents(text()), alphabet, size)

    @classmethod
    def documents(cls, text: str) -> list[str]:
        """The parts of a text that stand for themselves: its lines, or the whole."""
        return [line for line in text.split("\n") if line.strip()] if cls.by_line else [text]

    def examples(self, documents: list[np.ndarray], tokenizer: Tokenizer) -> Dataset:
        """Cut texts, as tokens, into examples: sequences where the model guesses after every token, else windows."""
        with no_grad():
            every = self.vocabulary > 0 and self(np.zeros((1, 1), np.int64)).ndim == 3
        return (SequenceDataset if every else WindowDataset)(documents, self.recipe.context, tokenizer.unit)

    def questions(self, text: str) -> dict[str, list[Any]]:
        """Questions for a model that converses, to see what it has learned: for each kind its name and the questions.
        `text` is what it learned from."""
        return {}

    def __call__(self, tokens: Any, cache: Cache | None = None) -> Tensor:
        """Compute the logits for tokens (batch, time); with a cache, for tokens after those that it has seen, without
        recording.

        A model's `forward` takes the cache that its `new_cache` makes; one without a `new_cache` of its own is shown its last
        tokens again.
        """
        if cache is None:
            return _call(self, tokens)
        tokens = np.asarray(tokens)
        with no_grad():
            if isinstance(cache, TokenCache):
                return _call(self, cache.extend(tokens))
            logits = _call(self, tokens, cache)
        cache.length += tokens.shape[1]
        return logits

    def new_cache(self, batch: int = 1) -> Cache:
        """Make an empty cache for so many texts side by side."""
        return TokenCache(batch, self.recipe.context)

    def prepare(self, step: int) -> None:
        """Seed dropout for a training step: its chance depends on the seed and the step alone, so that nothing of it needs
        saving. All layers draw from one generator, also those that were made without one."""
        layers = [module for _, module in self.named_modules() if isinstance(module, nn.Dropout) and module.p > 0]
        for layer in layers:
            layer.rng = self.noise
        if layers:
            self.noise.bit_generator.state = np.random.default_rng((self.recipe.seed, step, 2)).bit_generator.state

    def optimizer(self) -> Optimizer:
        """Make the optimizer that changes the parameters."""
        return SGD(self.parameters(), lr=self.recipe.learning_rate)

    def schedule(self, steps: int) -> Callable[[int], float]:
        """The factor of the learning rate at each of `steps` steps."""
        return constant()

    def marks(self, steps: int, epoch: int) -> set[int]:
        """The steps after which a line is printed and the model evaluated: ten of them, at the ends of epochs of so many steps
        where those are counted."""
        unit = epoch if self.recipe.epochs is not None else 1
        units = max(steps // unit, 1)
        return {max(units * tenth // 10, 1) * unit for tenth in range(1, 11)} | {steps}

    def report(self, at: Moment) -> tuple[str, dict[str, Any]]:
        """Write the line that training prints at a moment: the losses, the learning rate and the speed; and more figures."""
        held_out = "" if at.validation is None else f" | Validation: {at.validation:.4f}"
        digits = len(str(at.steps))
        line = f"Step {at.step:>{digits}}/{at.steps} | Loss: {at.loss:.4f}{held_out} | LR: {at.learning_rate:.2e}"
        return f"{line} | {at.speed:,.0f} tokens/s", {}

    def summary(self, examples: Dataset) -> list[tuple[str, Any]]:
        """Describe a trained model: sentences, each with the figures it holds as a dict for `--json`."""
        return []
