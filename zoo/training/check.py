"""A check of a model before it is trained: mistakes in its code that would otherwise show late, or only as a strange loss."""

from __future__ import annotations

import inspect

import numpy as np

from microtensor import Tensor, cross_entropy, no_grad
from microtensor.optim import Optimizer
from zoo.cache import Cache
from zoo.errors import UsageError
from zoo.model import Model

#: Two sequences are tried, of so many tokens at most; of a model that sees a window, the whole window.
LENGTH = 6
#: How far logits that should be the same may lie apart, as a fraction of the largest.
TOLERANCE = 1e-3


def check_model(model: Model) -> list[str]:
    """Try a model on a few random tokens: the shape and dtype of its logits, that no position sees a later one, that its cache
    gives the same, and that it can learn. The parameters stay as they are.

    Returns the names of the parameters that no gradient reaches. Raises UsageError for what can't be meant.
    """
    if model.vocabulary_size == 0:
        return []
    training = model.training
    model.eval()
    try:
        sequence = model.predicts_every_token()
        _check_parameters(model)
        length = min(model.recipe.context, LENGTH) if sequence else model.recipe.context
        tokens = np.random.default_rng(0).integers(0, model.vocabulary_size, (2, length))
        with no_grad():
            logits = _checked_logits(model, tokens, sequence)
            if sequence:
                _check_causality(model, tokens, logits)
            if type(model).new_cache is not Model.new_cache:
                _check_cache(model, tokens[:1], sequence)
        return _unreached(model, tokens)
    finally:
        model.train(training)


def _check_parameters(model: Model) -> None:
    name = type(model).__name__
    if not model.parameters():
        raise UsageError(f"{name} has no parameters: nothing in it can learn")
    if not isinstance(model.recipe.optimizer(model), Optimizer):
        raise UsageError(f"{type(model.recipe).__qualname__}.optimizer of {name} must return an optimizer")


def _checked_logits(model: Model, tokens: np.ndarray, sequence: bool) -> np.ndarray:
    """The logits, of the right kind, shape and dtype."""
    name, logits = f"{type(model).__name__}.forward", model(tokens)
    if not isinstance(logits, Tensor):
        raise UsageError(f"{name} gave {type(logits).__name__}, not a Tensor: with .data or .numpy() the gradient is lost")
    wanted = (*tokens.shape, model.vocabulary_size) if sequence else (len(tokens), model.vocabulary_size)
    if logits.shape != wanted:
        raise UsageError(f"{name}: tokens of shape {tokens.shape} gave logits of shape {logits.shape}, not {wanted}")
    dtype = model.parameters()[0].dtype
    if logits.dtype != dtype:
        raise UsageError(
            f"{name} gave {logits.dtype} logits, but the parameters are {dtype}: an array in it has another dtype "
            f"(np.zeros(shape, np.{dtype}) or array.astype(np.{dtype}))"
        )
    return logits.data


def _check_causality(model: Model, tokens: np.ndarray, logits: np.ndarray) -> None:
    """Other last tokens must leave the logits of the positions before as they are."""
    others = tokens.copy()
    others[:, -1] = (others[:, -1] + 1) % model.vocabulary_size
    found = model(others).data[:, :-1]
    if found.size and not _alike(found, logits[:, :-1]):
        raise UsageError(
            f"{type(model).__name__}.forward: the logits of a position depend on later tokens, which it should predict; is a "
            "causal mask missing?"
        )


def _check_cache(model: Model, tokens: np.ndarray, sequence: bool) -> None:
    """Reading tokens one after the other, with a cache, must give the logits of reading them at once."""
    name = type(model).__name__
    if "cache" not in inspect.signature(model.forward).parameters:
        raise UsageError(f"{name} has new_cache, so its forward must take it: forward(self, tokens, cache=None)")
    cache = model.new_cache()
    if not isinstance(cache, Cache):
        raise UsageError(f"{name}.new_cache must return a zoo.cache.Cache, or a kind of it, not {type(cache).__name__}")
    for first, last in ((0, 2), (2, 3), (3, 4)):
        if last > tokens.shape[1]:
            return
        found, expected = model(tokens[:, first:last], cache).data[0], model(tokens[:, :last]).data[0]
        if not _alike(found[-1], expected[-1]) if sequence else not _alike(found, expected):
            raise UsageError(
                f"{name}.forward: with a cache the logits of token {last} differ from those without; does it keep all that it "
                "needs of the tokens before (their number is cache.length)?"
            )


def _alike(found: np.ndarray, expected: np.ndarray) -> bool:
    """Tell if logits are the same up to rounding. (Of NaN the trainer tells.)"""
    return bool(not np.abs(found - expected).max() > TOLERANCE * np.abs(expected).max())


def _unreached(model: Model, tokens: np.ndarray) -> list[str]:
    """The names of the parameters that no gradient reaches."""
    logits = model(tokens)
    if not logits.requires_grad:
        raise UsageError(f"{type(model).__name__}.forward gave logits that no parameter has a part in")
    cross_entropy(logits, np.zeros(logits.shape[:-1], np.int64)).backward()
    names = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    model.zero_grad()
    return names
