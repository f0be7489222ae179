"""The zoo from Python, and `python -m zoo`."""

import json

import numpy as np
import pytest

import microtensor as mt
import zoo
from zoo.decoding.sampling import sample
from zoo.errors import DataError, UsageError
from zoo.models.word_meanpool import Recipe, WordMeanPool
from zoo.text.examples import next_token_windows
from zoo.text.words import WordTokenizer, split_words


def test_models_by_name():
    assert zoo.list_models() == ["word_meanpool"]
    model = zoo.create_model("word_meanpool", width=16)
    assert model.num_parameters() == 2 * 252 * 16
    assert model(np.zeros((2, 4), int)).shape == (2, 252)
    with pytest.raises(UsageError, match="did you mean word_meanpool"):
        zoo.create_model("word_meanpol")
    with pytest.raises(UsageError, match="'widht'; did you mean width"):
        zoo.create_model("word_meanpool", widht=16)
    with pytest.raises(UsageError, match="whole number"):
        zoo.create_model("word_meanpool", width=16.0)


def test_load_model(trained):
    folder, _ = trained
    model, tokenizer = zoo.load_model(str(folder / "runs" / "word_meanpool"))
    guess = model(tokenizer.encode("Down by the harbour")[None]).data.argmax()
    assert tokenizer.decode([guess]) == "where"
    with pytest.raises(DataError, match="no run folder"):
        zoo.load_model(str(folder / "nothing"))


def test_the_table_of_models(tmp_path, python):
    done = python(tmp_path, "zoo")
    assert done.returncode == 0 and "word_meanpool" in done.stdout and "16,128" in done.stdout and "zoo.generate" in done.stdout
    assert json.loads(python(tmp_path, "zoo", "--json").stdout)["parameters"] == 16_128
    assert python(tmp_path, "zoo", "--jsn").returncode == 2


def test_words():
    assert split_words("“Don’t stop,” it's twenty-one — A_B 3.5!") == [
        "don't",
        "stop",
        "it's",
        "twenty-one",
        "a",
        "b",
        "3",
        "5",
    ]
    assert split_words("नमस्ते दुनिया cafe\u0301 İstanbul") == ["नमस्ते", "दुनिया", "café", "i\u0307stanbul"]
    tokenizer = WordTokenizer.from_text("b a b c")
    assert (
        tokenizer.vocabulary == ["a", "b", "c"]
        and tokenizer.encode("C b").tolist() == [2, 1]
        and tokenizer.decode([0, 2]) == "a c"
    )


def test_windows():
    inputs, targets = next_token_windows(np.arange(5), 3, "words")
    assert inputs.tolist() == [[0, 1, 2], [1, 2, 3]] and targets.tolist() == [3, 4]
    with pytest.raises(DataError, match="3 words, and one example takes 4"):
        next_token_windows(np.arange(3), 3, "words")


def test_recipe_derives_steps_and_rate_from_the_batch():
    assert (Recipe().steps, Recipe().learning_rate) == (100_000, 0.1)
    assert (Recipe(batch_size=64).steps, Recipe(batch_size=64).learning_rate) == (1563, 6.4)
    assert (Recipe(batch_size=64, steps=9).steps, Recipe(learning_rate=1.0).learning_rate) == (9, 1.0)
    assert Recipe(**Recipe(batch_size=8).to_dict()) == Recipe(batch_size=8)
    with pytest.raises(AttributeError):
        Recipe().steps = 5


def test_the_whole_model_has_the_right_gradients():
    model = WordMeanPool(Recipe(width=3, context=2), 5, np.random.default_rng(0))
    tokens, targets = np.array([[0, 1], [1, 1], [4, 2]]), np.array([2, 0, 4])

    def loss(embeddings, projection):
        model.embeddings, model.projection = embeddings, projection
        return mt.cross_entropy(model(tokens), targets)

    for fast in (False, True):
        assert mt.gradcheck(loss, [model.embeddings, model.projection], fast=fast)
        assert mt.gradgradcheck(loss, [model.embeddings, model.projection], fast=fast)


def test_a_mean_cannot_tell_orders_apart():
    model = zoo.create_model("word_meanpool")
    np.testing.assert_allclose(model(np.array([[1, 2, 3, 4]])).data, model(np.array([[4, 1, 3, 2]])).data, rtol=1e-5, atol=1e-6)


def test_sampling():
    logits = np.log(np.array([0.1, 0.2, 0.7], np.float32))
    rng = np.random.default_rng(0)
    assert sample(logits, 0, rng) == 2
    drawn = np.bincount([sample(logits, 1.0, rng) for _ in range(5000)], minlength=3) / 5000
    np.testing.assert_allclose(drawn, [0.1, 0.2, 0.7], atol=0.03)
    assert {sample(logits, 0.01, rng) for _ in range(50)} == {2}
    assert sample(np.array([-1e30, 0.0, 1e30]), 1.0, rng) == 2
