"""The zoo from Python, and `python -m zoo`."""

import json

import numpy as np
import pytest

import zoo
from zoo.errors import DataError, UsageError
from zoo.recipe import make_recipe
from zoo.registry import model_class

SIZES = {
    "bigram": 729, "char_meanpool": 1_728, "word_meanpool": 16_128, "word_ngram": 15_874, "char_mlp": 11_897,
    "char_rnn": 1_086_017, "wavenet": 667_745, "char_gpt": 2_731_200, "modern_gpt": 2_679_168, "chat_gpt": 626_560,
    "mamba": 474_880,
}  # fmt: skip


def test_models_by_name():
    assert zoo.list_models() == list(SIZES)
    for name, size in SIZES.items():
        assert zoo.create_model(name).num_parameters() == size
    assert zoo.create_model("word_meanpool", width=16).num_parameters() == 2 * 252 * 16
    with pytest.raises(UsageError, match="did you mean word_meanpool"):
        zoo.create_model("word_meanpol")
    with pytest.raises(UsageError, match="'widht'; did you mean width"):
        zoo.create_model("word_meanpool", widht=16)
    with pytest.raises(UsageError, match="whole number"):
        zoo.create_model("word_meanpool", width=16.0)


def test_load_model(trained):
    folder, _ = trained
    loaded = zoo.load_model(str(folder / "runs" / "word_meanpool"))
    model, tokenizer = loaded.model, loaded.tokenizer
    guess = model(tokenizer.encode("Down by the harbour")[None]).data.argmax()
    assert tokenizer.decode([guess]) == "where"
    with pytest.raises(DataError, match="no run folder"):
        zoo.load_model(str(folder / "nothing"))


def test_the_table_of_models(tmp_path, python):
    done = python(tmp_path, "zoo")
    assert done.returncode == 0 and "zoo.generate" in done.stdout and "your own run" not in done.stdout
    for name, size in SIZES.items():
        assert name in done.stdout and f"{size:,}" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    rows = [json.loads(line) for line in python(tmp_path, "zoo", "--json").stdout.splitlines()]
    assert {row["model"]: row["parameters"] for row in rows} == SIZES
    assert python(tmp_path, "zoo", "--jsn").returncode == 2


def test_the_table_shows_ones_own_run(trained, python):
    done = python(trained[0], "zoo")
    assert "* your own run" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("word_meanpool")]
    assert " s*" in line


def test_recipes_are_validated():
    recipe = model_class("word_meanpool").recipe_class
    assert (recipe().steps, recipe().learning_rate) == (100_000, 0.1)
    assert (recipe(batch_size=64).steps, recipe(batch_size=64).learning_rate) == (1563, 6.4)
    assert (recipe(batch_size=64, steps=9).steps, recipe(learning_rate=1.0).learning_rate) == (9, 1.0)
    assert recipe(**recipe(batch_size=8).to_dict()) == recipe(batch_size=8)
    with pytest.raises(AttributeError):
        recipe().steps = 5


def test_a_length_in_epochs_or_in_steps():
    for name in zoo.list_models():
        recipe = model_class(name).recipe_class
        assert make_recipe(recipe, {"steps": 7}).total_steps(100) == 7
        assert make_recipe(recipe, {"epochs": 3, "batch_size": 10}).total_steps(100) == 30
        with pytest.raises(UsageError, match="one of the two"):
            make_recipe(recipe, {"epochs": 3, "steps": 7})


def test_the_same_seed_makes_the_same_model():
    for name in zoo.list_models():
        a, b, c = (zoo.create_model(name, seed=s).state_dict() for s in (1, 1, 2))
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])
        assert any((a[key] != c[key]).any() for key in a)


def test_the_models_are_listed_in_the_course_s_order(tmp_path, python):
    for name in ("aardvark", "zebra"):
        (tmp_path / f"{name}.py").write_text("")
    done = python(tmp_path, "zoo", "--json", ZOO_MODELS=str(tmp_path))
    assert [json.loads(line)["model"] for line in done.stdout.splitlines()] == list(SIZES)
    known = "import zoo; print(zoo.list_models())"
    done = python(tmp_path, "timeit", "-n", 1, "-r", 1, known, ZOO_MODELS=str(tmp_path))
    assert str([*SIZES, "aardvark", "zebra"]) in done.stdout
