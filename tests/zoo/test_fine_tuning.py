"""python -m zoo.train MODEL --init-from SOURCE: a run that begins with trained parameters."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from commands import copy_run, one_line_error

import zoo
from zoo.errors import DataError, UsageError
from zoo.registry import model_class
from zoo.reporter import Reporter
from zoo.tokenizers.characters import CharTokenizer
from zoo.tokenizers.words import WordTokenizer
from zoo.training.checkpoint import default_folder
from zoo.training.fine_tuning import Source, listed
from zoo.training_run import TrainingRun

WORDS = ("the", "sea", "is", "wide", "and", "i", "am", "so")
TEXT = "i am so wide and the sea is so\n" * 9


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of one's own, with a text in it that has no other characters than small_gpt's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text(TEXT)
    (tmp_path / "café.txt").write_text(TEXT + "café 5 €", encoding="utf-8")
    return tmp_path


def prepared(source, name="char_gpt", **settings):
    """A run before its first step."""
    return TrainingRun(name, {"data": "my.txt", "steps": 5, **settings}, out="runs/new", init_from=source)


def test_it_begins_where_the_source_is(here, small_gpt, capsys):
    run = prepared(small_gpt)
    source = zoo.load_model(small_gpt)
    for name, array in source.model.state_dict().items():
        np.testing.assert_array_equal(run.trainer.model.state_dict()[name], array)
    capsys.readouterr()
    run.train(Reporter(json=True))
    figures = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert figures[0] == {"initial_loss": source.evaluate("my.txt").loss}
    assert figures[-2]["final_loss"] < figures[0]["initial_loss"]


def test_as_a_user_meets_it(here, small_gpt, python):
    done = python(here, "zoo.train", "char_gpt", "--init-from", small_gpt, "--data", "café.txt", "--json")
    assert done.returncode == 0, done.stderr
    assert (
        f"It begins with {small_gpt}'s parameters: 10 steps with a learning rate of 0.001 ({small_gpt} had 0.01)" in done.stderr
    )
    assert "5 characters that" in done.stderr and "hasn't seen were added: 5, c, f, é, €" in done.stderr
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert figures[0]["initial_loss"] > 0 and [x["step"] for x in figures if "step" in x] == list(range(1, 11))
    config = json.loads((here / "runs/char_gpt/config.json").read_text())
    digest = hashlib.sha256((small_gpt / "model.safetensors").read_bytes()).hexdigest()
    assert config["init_from"]["sha256"] == digest and config["init_from"]["added"] == ["5", "c", "f", "é", "€"]
    assert config["recipe"]["width"] == 16 and config["recipe"]["context"] == 16  # the source's, not the model's own
    assert config["recipe"]["warmup"] == 10 and config["recipe"]["evaluate_every"] == 1
    assert python(here, "zoo.generate", "char_gpt", "--prompt", "café").returncode == 0
    again = python(here, "zoo.train", "char_gpt", "--init-from", "char_gpt", "--data", "café.txt", "--out", "runs/again")
    assert (
        "It begins with char_gpt's parameters: 10 steps with a learning rate of 0.001\n" in again.stderr
    )  # no tenth of a tenth


def test_new_characters_are_drawn_and_the_others_copied(here, small_gpt):
    run = prepared(small_gpt, data="café.txt")
    source, trainer = zoo.load_model(small_gpt), run.trainer
    old, new = source.tokenizer.vocabulary, trainer.tokenizer.vocabulary
    assert new == sorted({*old, *"café5€"}) and old != new[: len(old)]
    fresh = model_class("char_gpt")(trainer.recipe, len(new), np.random.default_rng(trainer.recipe.seed)).state_dict()
    table, before = trainer.model.state_dict()["token_embedding.weight"], source.model.state_dict()["token_embedding.weight"]
    for id, token in enumerate(new):
        expected = before[old.index(token)] if token in old else fresh["token_embedding.weight"][id]
        np.testing.assert_array_equal(table[id], expected)
    # What it says of a text that both can read, among the characters that both know, is the same.
    known = [new.index(token) for token in old]
    logits = trainer.model.eval()(trainer.tokenizer.encode("the sea")[None]).data[..., known]
    expected = source.model(source.tokenizer.encode("the sea")[None]).data
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_rows_and_columns_of_a_table(here):
    """A bigram's table has both a row and a column for each character."""
    zoo.train_model("bigram", data="my.txt", steps=20, batch_size=8, out="runs/source")
    run = prepared("runs/source", "bigram", data="café.txt", batch_size=8)
    source, table = zoo.load_model("runs/source"), run.trainer.model.state_dict()["table"]
    ids = [run.trainer.tokenizer.vocabulary.index(token) for token in source.tokenizer.vocabulary]
    np.testing.assert_array_equal(table[np.ix_(ids, ids)], source.model.state_dict()["table"])
    assert table.shape == (len(ids) + 5, len(ids) + 5)


def test_words_are_added_after_the_others(here):
    zoo.train_model("word_ngram", data="my.txt", steps=5, out="runs/source")
    (here / "more.txt").write_text("the sea is deep\nand so am i\n" * 9)
    run = prepared("runs/source", "word_ngram", data="more.txt")
    old = zoo.load_model("runs/source").tokenizer.vocabulary
    assert run.trainer.tokenizer.vocabulary == [*old, "deep"]
    assert "1 word that runs/source hasn't seen was added: deep" in run.source.introduction(
        run.trainer.recipe, run.trainer.tokenizer
    )


def test_byte_pairs_need_nothing_new(here, python):
    zoo.train_model(
        "char_gpt", data="my.txt", steps=3, tokenizer="bpe", vocab_size=260, width=8, heads=1, layers=1, context=8, batch_size=2,
        out="runs/source",
    )  # fmt: skip
    source = zoo.load_model("runs/source")
    run = prepared("runs/source", data="café.txt")
    assert run.trainer.tokenizer.to_dict() == source.tokenizer.to_dict() and run.trainer.recipe.tokenizer == "bpe"
    assert run.folder.init_from["added"] == []
    with pytest.raises(UsageError, match="--tokenizer: runs/source has bpe, not char; leave it out"):
        prepared("runs/source", tokenizer="char", vocab_size=None)
    with pytest.raises(UsageError, match="--vocab-size: runs/source has 260, not 300"):
        prepared("runs/source", vocab_size=300)


def test_included_weights_and_a_conversation(here):
    """chat_gpt's weights come along; its users' words aren't to be guessed any more, as they were at first."""
    (here / "talk.txt").write_text(">hello there\n<Ahoy, sailor! The tide is in.\n\n" * 40)
    assert not default_folder("chat_gpt").exists()
    run = prepared("chat_gpt", "chat_gpt", data="talk.txt")
    assert run.trainer.recipe.pretraining == 0 and run.trainer.recipe.learning_rate == pytest.approx(3e-4)
    assert run.trainer.model.chat and run.folder.init_from["run"] == "chat_gpt"
    source = zoo.load_model("chat_gpt")
    for name, array in source.model.state_dict().items():
        np.testing.assert_array_equal(run.trainer.model.state_dict()[name], array)


def test_a_run_that_goes_on_has_the_same_bits_and_needs_no_source(here, small_gpt, python):
    shutil.copytree(small_gpt, here / "source")
    (here / "other.txt").write_text("the sea is né\n" * 20, encoding="utf-8")  # which lacks characters of the source's
    config = json.loads((here / "source/config.json").read_text())
    options = ("--data", "other.txt", "--seed", 3)
    (here / "source/manifest.json").unlink()
    for out, steps in (("whole", 8), ("parts", 5)):
        done = python(
            here, "zoo.train", "char_gpt", "--init-from", "source", *options, "--out", out, "--steps", steps, "--warmup", 2,
            "--evaluate-every", 4, "--min-learning-rate-ratio", 1,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    shutil.rmtree(here / "source")
    done = python(here, "zoo.train", "char_gpt", "--resume", "--out", "parts", "--steps", 8)
    assert done.returncode == 0 and "Before the first step" not in done.stdout, done.stderr
    for file in ("model.safetensors", "state.safetensors"):
        assert (here / "whole" / file).read_bytes() == (here / "parts" / file).read_bytes()
    whole, parts = (json.loads((here / out / "config.json").read_text()) for out in ("whole", "parts"))
    assert whole == parts and whole["init_from"]["run"] == "../source"
    assert whole["tokenizer"]["vocabulary"] == sorted([*config["tokenizer"]["vocabulary"], "é"])


def test_a_record_that_is_none(here, small_gpt):
    prepared(small_gpt).train(Reporter())
    config = json.loads((here / "runs/new/config.json").read_text())
    (here / "runs/new/manifest.json").unlink()
    (here / "runs/new/config.json").write_text(json.dumps({**config, "init_from": ["char_gpt"]}))
    with pytest.raises(DataError, match="damaged: .*init_from"):
        zoo.train_model("char_gpt", out="runs/new", resume=True, steps=9)


def test_a_text_that_has_changed_since(here, small_gpt):
    prepared(small_gpt).train(Reporter())
    (here / "my.txt").write_text(TEXT + "é")
    with pytest.raises(DataError, match="another text"):
        zoo.train_model("char_gpt", out="runs/new", resume=True, steps=9)


def test_a_run_that_takes_its_sources_place_keeps_it(here, small_gpt, python):
    copy_run(small_gpt, here / "runs/char_gpt")
    before = (here / "runs/char_gpt/model.safetensors").read_bytes()
    done = python(here, "zoo.train", "char_gpt", "--init-from", "runs/char_gpt", "--data", "my.txt", "--steps", 2)
    assert done.returncode == 0 and "The earlier run is kept in runs/char_gpt-1" in done.stderr, done.stderr
    assert (here / "runs/char_gpt-1/model.safetensors").read_bytes() == before
    assert (here / "runs/char_gpt/model.safetensors").read_bytes() != before


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        (("char_gpt", "--resume"), ["--init-from", "--resume"], 2),
        (("chat_gpt",), ["--init-from", "is a char_gpt, not a chat_gpt"], 2),
        (("char_gpt", "--layers", 3), ["--layers", "has 2, not 3"], 2),
        (("char_gpt", "--width", 15), ["--heads"], 2),
        (("char_gpt", "--width", 32), ["--width", "has 16, not 32"], 2),
        (("char_gpt", "--heads", 4), ["--heads", "has 2, not 4"], 2),  # the parameters have the same shapes
        (("char_gpt", "--context", 32), ["--context", "has 16, not 32"], 2),
        (("char_gpt", "--tokenizer", "bpe"), ["--tokenizer", "has char, not bpe"], 2),
        (("char_gpt", "--preset", "nano"), ["--layers", "has 2, not 4"], 2),
        (("char_gpt", "--data", "missing.txt"), ["no such file"], 1),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(here, small_gpt, python, arguments, words, code):
    before = sorted(os.listdir(here))
    done = python(here, "zoo.train", *arguments, "--init-from", small_gpt)
    one_line_error(done, "zoo.train", *words, code=code)
    assert sorted(os.listdir(here)) == before


def test_a_source_that_is_missing_or_damaged(here, small_gpt, python):
    done = python(here, "zoo.train", "char_gpt", "--init-from", "nowhere/run")
    one_line_error(done, "zoo.train", "no run folder: nowhere/run", code=1)
    done = python(here, "zoo.train", "char_gpt", "--init-from", "")
    one_line_error(done, "zoo.train", "--init-from", code=2)
    copy_run(small_gpt, here / "source")
    os.truncate(here / "source/model.safetensors", 3000)
    done = python(here, "zoo.train", "char_gpt", "--init-from", "source")
    one_line_error(done, "zoo.train", "source/model.safetensors", code=1)
    assert not (here / "runs").exists()


def test_what_is_no_matter_of_the_network_can_be_given(here, small_gpt):
    recipe = prepared(small_gpt, dropout=0.3, learning_rate=0.5, warmup=1, batch_size=2).trainer.recipe
    assert (recipe.dropout, recipe.learning_rate, recipe.warmup, recipe.batch_size) == (0.3, 0.5, 1, 2)
    assert prepared(small_gpt, steps=None, epochs=2).trainer.recipe.steps is None


def test_a_tokenizer_that_cannot_grow(here, small_gpt, monkeypatch):
    monkeypatch.delattr(CharTokenizer, "extended")
    with pytest.raises(DataError, match="unknown character 'c'"):
        prepared(small_gpt, data="café.txt")


def test_parameters_that_have_no_row_for_each_token(here, small_gpt):
    source = Source(small_gpt, "char_gpt")
    longer = source.extended_tokenizer(["é"])

    class Odd:
        def state_dict(self):
            return {"table": np.zeros((2 * len(longer.vocabulary), 3), np.float32)}

    source.model = Odd()
    source.model.state_dict = lambda: {"table": np.zeros((2 * len(source.tokenizer.vocabulary), 3), np.float32)}
    with pytest.raises(UsageError, match="can't learn new characters: its table isn't one row for each; leave é out"):
        source.copy_to(Odd(), longer)


def test_tokenizers_that_grow():
    assert CharTokenizer.train("bd").extended(["ab", "c"]).vocabulary == ["a", "b", "c", "d"]
    assert WordTokenizer.train("the sea").extended(["A sea", "a bay"]).vocabulary == ["sea", "the", "a", "bay"]
    assert WordTokenizer(["the", "sea"]).extended(["a"]).vocabulary == ["the", "sea", "a"]
    assert listed(["é", "\n", " ", "€"]) == "é, '\\n', ' ', €"
    assert listed([chr(97 + i) for i in range(23)]).endswith("s, t and 3 more")


def test_compare_fine_tunes_on_parts_of_a_text(here, small_gpt, python):
    (here / "long.txt").write_text(" ".join(np.random.default_rng(1).choice(WORDS, 3000)))
    command = (
        "zoo.compare", "char_gpt", "--init-from", small_gpt, "--data", "long.txt", "--data-fraction", 0.1, 1, "--steps", 3, "--json",
    )  # fmt: skip
    done = python(here, *command)
    assert done.returncode == 0, done.stderr
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert [x["data_fraction"] for x in figures] == [0.1, 1] and all(x["validation_loss"] for x in figures)
    run = here / figures[0]["run"]
    assert run.parent.name == "compare-char_gpt-from-char_gpt"
    config = json.loads((run / "config.json").read_text())
    assert config["recipe"]["width"] == 16 and config["recipe"]["learning_rate"] == 0.001
    assert python(here, *command).stderr.count("trained before") == 2
    # The same settings without a source, or with another, are other runs.
    other = ("zoo.compare", "char_gpt", "--out", run.parent, *command[4:])
    done = python(here, *other)
    assert done.returncode == 1 and "another recipe" in done.stderr, done.stderr
