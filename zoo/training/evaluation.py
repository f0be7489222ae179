"""The held-out part of a text, and a model's mean loss over every token of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from microtensor import cross_entropy, no_grad
from zoo.datasets.batches import IGNORE_INDEX, Dataset, StreamDataset, valid_targets
from zoo.datasets.split import leading_fraction, random_split, train_validation_split
from zoo.errors import DataError
from zoo.model import Model, predict
from zoo.tokenizers.tokenizer import Tokenizer, count_bytes, count_characters


def evaluate(model: Model, examples: Dataset, watch: Callable[[int, float], None] = lambda done, loss: None) -> float:
    """The mean loss in nats over every token of a text, without dropout; NaN where there are none.

    Where batches continue each other, the hidden state is carried on. It draws no random numbers, so that how often one
    evaluates changes nothing. `watch` is told how many tokens are done, and their mean loss.
    """
    training = model.training
    model.eval()
    total, count = 0.0, 0
    try:
        with no_grad():
            cache = model.new_cache() if isinstance(examples, StreamDataset) else None
            for inputs, targets in examples.in_order():
                here = valid_targets(targets).size
                logits = predict(model, inputs) if cache is None else model(inputs, cache)
                total += here * float(cross_entropy(logits, targets, ignore_index=IGNORE_INDEX))
                count += here
                watch(count, total / count)
    finally:
        model.train(training)
    return total / count if count else math.nan


def bits_per_character_and_byte(loss: float, examples: Dataset, tokenizer: Tokenizer) -> tuple[float, float]:
    """The mean loss of `evaluate`, in nats per token, as bits per character and bits per UTF-8 byte of the text that was
    predicted: figures that models with different tokenizers can be compared by.

    A token counts with all that it adds to the text: a word with the space that separates it from the word before. What is only
    read, such as the context of the first prediction, doesn't count.
    """
    tokens = characters = size = 0
    for _, targets in examples.in_order():
        predicted = valid_targets(targets)
        tokens += predicted.size
        characters += count_characters(tokenizer, predicted)
        size += count_bytes(tokenizer, predicted)
    bits = loss * tokens / math.log(2)
    # (A text that is only the rest of a character has bytes but no characters.)
    return bits / characters if characters else math.nan, bits / size if size else math.nan


def split(model: Model, documents: list[np.ndarray], tokenizer: Tokenizer) -> tuple[Dataset, Dataset | None]:
    """Split a text into what a model learns from and what is held out to evaluate it on: None where the text is too
    short for that.

    Raises DataError when there is nothing to learn from.
    """
    training, held_out = parts(model, documents)
    if held_out:
        try:
            return make_dataset(model, training, tokenizer), make_dataset(model, held_out, tokenizer)
        except DataError:  # a part is too short for a single example, so all is learned from
            pass
    return make_dataset(model, leading_fraction(documents, model.recipe.data_fraction), tokenizer), None


def make_dataset(model: Model, documents: list[np.ndarray], tokenizer: Tokenizer) -> Dataset:
    """Cut documents, as tokens, into examples for a model. Raises DataError where they are too short."""
    return model.recipe.dataset(documents, tokenizer, model.predicts_every_token())


def parts(model: Model, documents: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A text's tokens to learn from, as the recipe says how much of them, and those that are held out."""
    training, held_out = (random_split if model.recipe.text.delimited else train_validation_split)(documents)
    return leading_fraction(training, model.recipe.data_fraction), held_out
