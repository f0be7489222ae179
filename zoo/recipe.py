"""A recipe says how a model is built and trained: its settings, the text it learns from, the optimizer, what training shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from microtensor import Tensor, nn
from microtensor.optim import SGD, AdamW, Optimizer, constant, warmup_cosine
from zoo.datasets.batches import Dataset, DocumentDataset, SequenceDataset, WindowDataset
from zoo.datasets.corpora import CORPORA
from zoo.datasets.corpus import Corpus, UserText
from zoo.errors import UsageError
from zoo.options import Options, check_names, default_of, option
from zoo.tokenizers.bpe import MOST, SIZE, BytePairTokenizer
from zoo.tokenizers.characters import CharTokenizer
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.tokenizers.words import WordTokenizer

#: The tokenizers that any model can be trained with, by name.
TOKENIZERS: dict[str, type[Tokenizer]] = {"char": CharTokenizer, "word": WordTokenizer, "bpe": BytePairTokenizer}


@dataclass(frozen=True)
class Metrics:
    """The figures of a moment of training, for the line that is printed about it."""

    step: int
    steps: int
    #: The number of passes over the text that are done, and that there will be.
    epoch: int
    epochs: int
    #: The mean loss of the last steps.
    loss: float
    #: The loss on the validation split; None where there is none.
    validation_loss: float | None
    learning_rate: float
    tokens_per_second: float
    #: The step's first example, as text: the input, the target, and the model's prediction ("pred").
    example: Callable[[], dict[str, str]] = field(repr=False)
    #: The validation loss in bits per byte, where tokens aren't characters: what compares with other tokenizers.
    bits_per_byte: float | None = None

    def losses(self, name: str = "Loss", separator: str = " | ") -> str:
        """Write the loss, and the validation loss where there is one."""
        validation = "" if self.validation_loss is None else f"{separator}Validation: {self.validation_loss:.4f}"
        if self.bits_per_byte is not None:
            validation += f" ({self.bits_per_byte:.3f} bits per byte)"
        return f"{name}: {self.loss:.4f}{validation}"


def corpus_option(name: str) -> Any:
    """The field of a recipe that names the corpus; `name` is that of the model's own."""
    return option(name, "which of the zoo's texts it learns from", choices=tuple(CORPORA))


@dataclass(frozen=True, kw_only=True)
class Recipe(Options):
    """The settings that every model's recipe has, and training with them: plain SGD at a constant rate.

    A model's own recipe adds fields, gives them other defaults, and overrides what it does differently.
    """

    #: The kind of tokens that its text becomes, unless `tokenizer` names another.
    tokenizer_class: ClassVar[type[Tokenizer]] = CharTokenizer
    #: Each line of any text is a document of its own: no example then reaches from one into the next.
    document_per_line: ClassVar[bool] = False
    #: The parameters with the lowest validation loss are kept for use, where there is a validation split; else the last ones.
    keep_best: ClassVar[bool] = True
    #: The loss that is shown is the mean over so many last steps; None for those of an epoch.
    loss_window: ClassVar[int | None] = None

    corpus: str | None = corpus_option("verses")
    data: str | None = option(None, "a plain text of your own to learn from, instead of --corpus")
    data_fraction: float = option(1.0, "the fraction of the training text that is learned from", above=0, at_most=1)
    tokenizer: str | None = option(None, "what a token is; each model has its own unless given", choices=tuple(TOKENIZERS))
    vocab_size: int | None = option(None, f"how many tokens bpe has at most; {SIZE} unless given", at_least=256, at_most=MOST)
    seed: int = option(0, "chooses all random numbers: the same seed gives the same bits", at_least=0, at_most=2**63 - 1)
    context: int = option(4, "how many tokens the model sees before it guesses the next", at_least=1, at_most=2**16)
    batch_size: int = option(1, "how many examples are learned from at a time", at_least=1, at_most=10**9)
    steps: int | None = option(None, "how many times the parameters are changed", at_least=1, at_most=10**12)
    epochs: int | None = option(None, "how many times the text is gone through, instead of --steps", at_least=1, at_most=10**9)
    learning_rate: float = option(0.1, "how far the parameters move along the gradient", above=0, at_most=1e30)
    grad_accumulation: int = option(1, "parts in which a batch is learned from, to save memory", at_least=1, at_most=10**9)
    grad_clip: float | None = option(
        None, "the greatest norm of the gradient: a longer one is scaled down", above=0, at_most=1e30
    )

    def __post_init__(self) -> None:
        """Name the model's own tokenizer where none is chosen, and refuse a size for one whose tokens are what the text has."""
        self.default("tokenizer", next((name for name, kind in TOKENIZERS.items() if kind is self.tokenizer_class), None))
        super().__post_init__()
        if self.vocab_size is not None and self.tokenizer in ("char", "word"):
            unit = TOKENIZERS[self.tokenizer].unit
            raise UsageError(
                f"--vocab-size: the vocabulary is all {unit} of the text; only --tokenizer bpe can choose how many"
            )

    @property
    def tokenizer_kind(self) -> type[Tokenizer]:
        """The class of the tokenizer that is chosen."""
        return self.tokenizer_class if self.tokenizer is None else TOKENIZERS[self.tokenizer]

    def total_steps(self, examples: int) -> int:
        """Count the steps of training, where a pass over the text has so many examples."""
        if self.steps is not None:
            return self.steps
        return (self.epochs or 1) * max(examples // self.batch_size, 1)

    @property
    def text(self) -> Corpus:
        """The text to learn from: the user's, or the corpus that is named."""
        return CORPORA[self.corpus] if self.data is None and self.corpus is not None else UserText(self.data or "")

    @property
    def own_text(self) -> bool:
        """True where it learns from the corpus that the model was made for."""
        return self.data is None and self.corpus == default_of(type(self), "corpus")

    def read_text(self) -> str:
        """Read the text to learn from. Raises DataError when it can't be had."""
        return self.text.read()

    def documents(self, text: str) -> list[str]:
        """The parts of a text that stand for themselves: its lines, between newlines where those are tokens; or the whole."""
        if not (self.document_per_line or self.text.document_per_line):
            return [text]
        around = "\n" if self.text.delimited else ""
        return [f"{around}{line}{around}" for line in text.split("\n") if line.strip()]

    def boundary(self, tokenizer: Tokenizer) -> int | None:
        """The token before and after each document, where there is one."""
        if not self.text.delimited:
            return None
        ids = tokenizer.encode("\n")
        return int(ids[0]) if len(ids) == 1 else None

    def make_tokenizer(self, text: Callable[[], str]) -> Tokenizer:
        """Make the tokenizer for a text, which is read only if the tokenizer asks for it."""
        return self.tokenizer_kind.train_on(lambda: self.documents(text()), self.text.alphabet, self.vocab_size)

    def dataset(self, documents: list[np.ndarray], tokenizer: Tokenizer, every_token: bool) -> Dataset:
        """Cut documents, as tokens, into examples: sequences for a model that predicts after every token, else windows."""
        if not every_token:
            return WindowDataset(documents, self.context, tokenizer.unit, from_start=self.text.delimited)
        sequences = DocumentDataset if self.document_per_line or self.text.document_per_line else SequenceDataset
        return sequences(documents, self.context, tokenizer.unit)

    def optimizer(self, model: nn.Module) -> Optimizer:
        """Make the optimizer that changes the parameters."""
        return SGD(model.parameters(), lr=self.learning_rate)

    def schedule(self, steps: int) -> Callable[[int], float]:
        """The factor of the learning rate at each of `steps` steps."""
        return constant()

    def evaluates_after(self, step: int, steps: int, epoch_steps: int) -> bool:
        """Tell if the model is evaluated, and a line printed, after a step: ten times in all `steps`, at the ends of epochs (of
        so many steps) where those are counted, and after the last."""
        unit = epoch_steps if self.epochs is not None else 1
        units, (done, rest) = max(steps // unit, 1), divmod(step, unit)
        tenths = -(-10 * done // units)
        return step == steps or (rest == 0 and units * tenths // 10 == done)

    def report(self, at: Metrics) -> tuple[str, dict[str, Any]]:
        """Write the line that training prints at a moment: the losses, the learning rate and the speed; and more figures."""
        step = f"Step {at.step:>{len(str(at.steps))}}/{at.steps}"
        return f"{step} | {at.losses()} | LR: {at.learning_rate:.2e} | {at.tokens_per_second:,.0f} tokens/s", {}

    def summary(self, model: nn.Module, dataset: Dataset) -> list[tuple[str, dict[str, Any]]]:
        """Describe a trained model: sentences, each with the figures it holds as a dict for `--json`."""
        return []

    def questions(self, text: str) -> dict[str, list[Any]]:
        """Questions for a model that converses, to see what it has learned: for each kind its name and the questions.
        `text` is what it learned from."""
        return {}


@dataclass(frozen=True, kw_only=True)
class AdamWRecipe(Recipe):
    """AdamW, whose learning rate rises over a warmup, then falls along half a cosine."""

    batch_size: int = option(16, "how many sequences a step learns from", at_least=1, at_most=10**9)
    learning_rate: float = option(3e-3, "the highest learning rate", above=0, at_most=1e30)
    min_learning_rate_ratio: float = option(0.02, "the last learning rate, over the highest", at_least=0, at_most=1)
    warmup: int = option(100, "over how many steps the learning rate rises", at_least=0, at_most=10**12)
    weight_decay: float = option(0.1, "how strongly matrices are drawn towards 0", at_least=0, at_most=1e6)
    beta2: float = option(0.99, "how slowly AdamW's mean of the squared gradients forgets", at_least=0, below=1)
    grad_clip: float | None = option(
        1.0, "the greatest norm of the gradient: a longer one is scaled down", above=0, at_most=1e30
    )
    evaluate_every: int = option(200, "evaluate after every so many steps", at_least=1, at_most=10**12)

    def optimizer(self, model: nn.Module) -> Optimizer:
        """AdamW, with weight decay for those parameters that it makes sense for."""
        named = list(model.named_parameters())
        decayed = [p for name, p in named if self.decays(name, p)]
        others = [p for name, p in named if not self.decays(name, p)]
        groups = [{"params": decayed, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return AdamW(groups, lr=self.learning_rate, betas=(0.9, self.beta2))

    def decays(self, name: str, parameter: Tensor) -> bool:
        """Tell if a parameter is drawn towards 0: a matrix is, but a bias or a gain near 0 is no simpler than another."""
        return parameter.ndim >= 2

    def schedule(self, steps: int) -> Callable[[int], float]:
        """A rise from 0, then half a cosine down to the last learning rate."""
        return warmup_cosine(min(self.warmup, steps), steps, self.min_learning_rate_ratio)

    def evaluates_after(self, step: int, steps: int, epoch_steps: int) -> bool:
        """Every `evaluate_every` steps, and after the last."""
        return step % self.evaluate_every == 0 or step == steps


#: Settings of which a training has one: what is given of one pair unsets the other.
EITHER = (("steps", "epochs"), ("corpus", "data"))


def override(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those that are given in their place, and without those that don't go with them."""
    others = {other for pair in EITHER for one, other in (pair, pair[::-1]) if given.get(one) is not None}
    return {**{name: value for name, value in settings.items() if name not in others}, **given}


def make_recipe(kind: type[Recipe], values: Mapping[str, Any]) -> Recipe:
    """A recipe with some fields set. Raises UsageError for an unknown field or a bad value.

    Its length is given in steps or in epochs, and its text by `corpus` or by `data`: setting one unsets the other's default.
    """
    check_names(kind, values)
    for one, other in EITHER:
        if values.get(one) is not None and values.get(other) is not None:
            raise UsageError(f"--{one} and --{other}: give one of the two")
    for name, other in (("steps", "epochs"), ("epochs", "steps"), ("data", "corpus")):
        if values.get(name) is not None:
            values = {**values, other: None}
    return kind(**values)
