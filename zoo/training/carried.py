"""The hidden states that training carries from step to step, where the sequences of a batch continue those of the last one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from microtensor import Tensor, no_grad
from zoo.cache import StateCache
from zoo.datasets.batches import Dataset, StreamDataset
from zoo.errors import UsageError
from zoo.model import Model, predict


class CarriedStates:
    """The hidden states after the last step: of each part of a batch, where the dataset is one of streams; else none.

    Args:
        model: the model, which computes the logits.
        dataset: what it learns from.

    Raises UsageError for streams and a model that can't carry a state.
    """

    def __init__(self, model: Model, dataset: Dataset) -> None:
        self.model = model
        self._streams = dataset if isinstance(dataset, StreamDataset) else None
        if self._streams is not None and not isinstance(model.new_cache(), StateCache):
            raise UsageError(f"{type(model).__name__} learns from streams, so its new_cache must make a zoo.cache.StateCache")
        #: One for each part of a batch.
        self.caches: list[StateCache] = []

    def start(self, step: int) -> None:
        """Forget all before a step whose sequences begin their streams."""
        if self._begins(step):
            self.caches = _empty(self.model)

    def logits(self, inputs: np.ndarray, part: int) -> Tensor:
        """The logits for a part of a batch, from the states that its sequences continue, where there are any."""
        return predict(self.model, inputs) if self._streams is None else self.model.go_on(inputs, self.caches[part])

    def state_dict(self, step: int) -> dict[str, np.ndarray]:
        """The arrays that are carried into a step, counted from 0, by the number of their part and their name."""
        return {} if self._begins(step) else _by_name(self.caches)

    def load_state_dict(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Take up what was carried into a step. Raises ValueError for other names, shapes or dtypes than are carried."""
        if self._streams is None or self._begins(step):
            if arrays:
                raise ValueError(f"it has a carried.{next(iter(arrays))}, and nothing is carried into step {step + 1}")
            return
        self.caches = fitting(self.model, arrays)
        for cache in self.caches:
            cache.length = self._streams.read_before(step, self.model.recipe.batch_size)

    def _begins(self, step: int) -> bool:
        return self._streams is not None and self._streams.begins(step, self.model.recipe.batch_size)


def carried_numbers(model: Model) -> int:
    """Count the numbers that a model could carry from step to step, at most."""
    if not isinstance(model.new_cache(), StateCache) or not model.vocabulary_size:
        return 0
    return model.recipe.batch_size * sum(array.size for array in _after_a_token(model, 1).states.values())


def fitting(model: Model, arrays: Mapping[str, np.ndarray]) -> list[StateCache]:
    """Caches of what was carried, for each part of a batch. Raises ValueError for other names, shapes or dtypes."""
    count, needed = sum(array.size for array in arrays.values()), carried_numbers(model)
    if count != needed:
        raise ValueError(f"it carries {count:,} numbers from step to step, not {needed:,}")
    size, caches = model.recipe.batch_size, _empty(model)
    for number, cache in enumerate(caches):
        cache.states = _after_a_token(model, size // len(caches) + (number < size % len(caches))).states
    expected = _by_name(caches)
    for name in sorted(expected.keys() ^ arrays.keys()):
        raise ValueError(f"it has {'no' if name in expected else 'a'} carried.{name}")
    for name, wanted in expected.items():
        given = arrays[name]
        if given.shape != wanted.shape or given.dtype != wanted.dtype:
            raise ValueError(f"carried.{name} should be {wanted.dtype} {wanted.shape}, but is {given.dtype} {given.shape}")
    for number, cache in enumerate(caches):
        cache.states = {name: arrays[f"{number}.{name}"] for name in cache.states}
    return caches


def _empty(model: Model) -> list[StateCache]:
    """Empty caches for the parts of a batch."""
    caches = [model.new_cache() for _ in range(min(model.recipe.grad_accumulation, model.recipe.batch_size))]
    return [cache for cache in caches if isinstance(cache, StateCache)]


def _after_a_token(model: Model, size: int) -> StateCache:
    """The cache of so many sequences of one token: its states have the shapes and dtypes that all have."""
    (cache,) = [cache for cache in [model.new_cache()] if isinstance(cache, StateCache)]
    training = model.training
    with no_grad():
        model.eval()(np.zeros((size, 1), np.int64), cache)
    model.train(training)
    return cache


def _by_name(caches: list[StateCache]) -> dict[str, np.ndarray]:
    return {f"{number}.{name}": array for number, cache in enumerate(caches) for name, array in cache.states.items()}
