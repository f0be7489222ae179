"""python -m zoo.explain: every number it shows is the engine's."""

import json
import re
import shutil
import time

import numpy as np
import pytest
from commands import one_line_error
from terminal import Terminal

import microtensor as mt
import zoo
from zoo.explain.trace import Walk, what_follows


def explained(python, folder, *arguments):
    done = python(folder, "zoo.explain", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return {screen["title"]: screen for screen in map(json.loads, done.stdout.splitlines())}


def test_a_word_model_in_its_own_numbers(trained, python):
    screens = explained(python, trained[0], "word_meanpool", "down by the harbour")
    model, tokenizer = zoo.load_model(str(trained[0] / "runs" / "word_meanpool"))
    ids = tokenizer.encode("down by the harbour").tolist()
    first = screens["From text to numbers"]
    assert first["ids"] == ids and first["tokens"] == ["down", "by", "the", "harbour"] and first["target"] == "where"
    logits = model(np.array([ids]))
    loss = mt.cross_entropy(logits, [first["target_id"]])
    loss.backward()
    np.testing.assert_allclose(screens["Scores"]["logits"], logits.data[0], rtol=1e-6)
    np.testing.assert_allclose(screens["Probabilities"]["probabilities"], mt.softmax(logits.data)[0], rtol=1e-6)
    assert screens["The loss"]["loss"] == loss.item() == pytest.approx(-np.log(screens["The loss"]["probability"]), abs=1e-5)
    table = model.embeddings.data
    assert screens["The middle: a mean"]["context"] == pytest.approx(table[ids].mean(axis=0).tolist(), rel=1e-5, abs=1e-6)
    gradient = np.array(screens["Backward: p minus one-hot"]["gradient"])
    expected = mt.softmax(logits.data)[0] - np.eye(len(tokenizer.vocabulary))[first["target_id"]]
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    reached = screens["Backward: to an embedding"]
    assert reached["token"] == "harbour" and reached["embedding"] == table[ids[-1]].tolist()
    np.testing.assert_allclose(reached["gradient"], model.embeddings.grad.data[ids[-1]], rtol=1e-5, atol=1e-9)
    step = screens["One step of learning"]
    assert step["after"] == pytest.approx(step["before"] - 6.4 * step["weight_gradient"], rel=1e-5)
    last = screens["The guess again"]
    assert last["probability_after"] > last["probability_before"] and last["loss_after"] < last["loss_before"]


def test_the_text_shows_the_same_numbers(trained, python):
    done = python(trained[0], "zoo.explain", "word_meanpool", "down by the harbour")
    screens = explained(python, trained[0], "word_meanpool", "down by the harbour")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == "" and max(map(len, lines)) <= 80 and "\033" not in done.stdout
    assert [line for line in lines if line.startswith("Step ")] == [
        f"Step {i} of {len(screens)}: {title}" for i, title in enumerate(screens, 1)
    ]
    assert re.search(
        rf"harbour +{dict(zip(*[screens['From text to numbers'][k] for k in ('tokens', 'ids')], strict=True))['harbour']}\b",
        done.stdout,
    )
    for value in (screens["The loss"]["loss"], screens["One step of learning"]["before"]):
        assert f"{value:.4f}"[:-1] in done.stdout
    p = screens["The loss"]["probability"]
    assert re.search(rf"where +{p:.2%}", done.stdout)


@pytest.mark.parametrize(
    "model, text, middle",
    [
        ("word_meanpool", "see the lights burn", ["a mean"]),
        ("char_meanpool", "the c", ["a mean"]),
        ("word_ngram", "the cat sat", ["side by side", "the tanh layer"]),
        ("char_gpt", "ROMEO:", [*(f"layer {i} of 6" for i in range(1, 7)), "norm"]),
        ("chat_gpt", "Hello!", [*(f"layer {i} of 3" for i in range(1, 4)), "norm"]),
    ],
)
def test_every_model_before_training(python, tmp_path, model, text, middle):
    token = {"char_gpt": "\n", "chat_gpt": "H"}.get(model, "on" if model == "word_ngram" else "t" if "char" in model else "the")
    done = python(tmp_path, "zoo.explain", model, text, "--untrained", "--next", token)
    assert done.returncode == 0, done.stderr
    titles = re.findall(r"^Step \d+ of \d+: (.*)$", done.stdout, re.M)
    assert titles[2 : 2 + len(middle)] == [f"The middle: {name}" for name in middle] and titles[2 + len(middle)] == "Scores"
    assert max(map(len, done.stdout.splitlines())) <= 80 and ": better." in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_side_by_side_characters(python, tmp_path):
    assert python(tmp_path, "zoo.train", "char_meanpool", "--pooling", "concat", "--epochs", 3).returncode == 0
    screens = explained(python, tmp_path, "runs/char_meanpool", "the c")
    assert len(screens["The middle: side by side"]["context"]) == 160
    assert (
        len(explained(python, tmp_path, "runs/char_meanpool", "c", "--next", "a")["The middle: side by side"]["context"]) == 32
    )


def test_attention_weights_and_the_parts_of_a_block(small_gpt, python, tmp_path):
    screens = explained(python, tmp_path, small_gpt, "the sea is", "--next", " ")
    model, tokenizer = zoo.load_model(str(small_gpt))
    ids = tokenizer.encode("the sea is")[None]
    np.testing.assert_allclose(screens["Scores"]["logits"], model(ids).data[0, -1], atol=1e-5)
    x = model.token_embedding(ids) + model.position_embedding(np.arange(ids.shape[1]))
    for layer, block in enumerate(model.blocks, 1):
        query, key, _ = mt.split_heads(block.attention.qkv(block.norm1(x)), 2)
        found, weights = block.attention(block.norm1(x)), mt.attention_weights(query, key, causal=True)
        screen = screens[f"The middle: layer {layer} of 2"]
        for head in range(2):
            np.testing.assert_allclose(screen["heads"][head]["weights"], weights.data[0, head, -1], atol=1e-5)
        parts = {"norm1": block.norm1(x), "attention": found, "sum 1": x + found}
        parts["norm2"] = block.norm2(x + found)
        parts["feed_forward"] = block.feed_forward(parts["norm2"])
        parts["sum 2"] = x = parts["sum 1"] + parts["feed_forward"]
        assert list(screen["parts"]) == list(parts)
        for name, values in parts.items():
            np.testing.assert_allclose(screen["parts"][name], values.data[0, -1], atol=1e-4)
    np.testing.assert_allclose(screens["The middle: norm"]["output"], model.norm(x).data[0, -1], atol=1e-4)


def test_one_walk_back_gives_all_gradients(small_gpt, monkeypatch):
    from microtensor import autograd

    walks = []
    propagate = autograd.propagate
    monkeypatch.setattr(autograd, "propagate", lambda *args, **options: (walks.append(1), propagate(*args, **options))[1])
    model, tokenizer = zoo.load_model(str(small_gpt))
    walk = Walk(model, tokenizer.encode("the sea is").tolist(), 1)
    for tensor in [walk.logits, *model.parameters()]:
        walk.gradient(tensor)
    assert len(walks) == 1
    one = mt.grad(walk.loss, model.blocks[0].norm1.weight)[0]
    np.testing.assert_allclose(walk.gradient(model.blocks[0].norm1.weight), one.data, rtol=1e-5)


def test_a_sentence_of_ones_own(trained, python):
    done = python(trained[0], "zoo.explain", "word_meanpool", "the the the", "--step", 1)
    assert done.returncode == 0 and "nobody says what comes next" in done.stdout, done.stderr
    screens = explained(python, trained[0], "word_meanpool", "the the the")
    likeliest = int(np.argmax(screens["Scores"]["logits"]))
    assert screens["From text to numbers"]["target_id"] == likeliest


def test_one_step_alone_and_colour(trained, python):
    done = python(trained[0], "zoo.explain", "word_meanpool", "by the harbour", "--step", 2, FORCE_COLOR="1")
    assert done.returncode == 0 and done.stdout.count("Step ") == 1 and "\033[38;5;" in done.stdout
    bare = re.sub(r"\033\[[0-9;]*m", "", done.stdout)
    assert "█" in bare and max(map(len, bare.splitlines())) <= 80
    plain = python(trained[0], "zoo.explain", "word_meanpool", "by the harbour", "--step", 2, FORCE_COLOR="1", NO_COLOR="1")
    assert "\033" not in plain.stdout and "#" in plain.stdout


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        ((), ["MODEL"], 2),
        (("word_meanpool",), ["TEXT"], 2),
        (("word_meanpool", "by the", "--step", "0"), ["--step", "at least 1"], 2),
        (("word_meanpool", "by the harbour", "--step", "99"), ["--step", "there are 10 steps"], 2),
        (("word_meanpool", "lanturn"), ["unknown word 'lanturn'"], 1),
        (("word_meanpool", ""), ["no words"], 1),
        (("word_meanpool", "by the", "--next", "two words"), ["unknown word 'two'"], 1),
        (("word_meanpool", "by the", "--next", "the by"), ["--next: one word"], 2),
        (("word_ngram", "the"), ["no run folder", "python -m zoo.train word_ngram"], 1),
        (("nothing", "the"), ["unknown model"], 2),
    ],
)
def test_bad_input(trained, python, arguments, words, code):
    one_line_error(python(trained[0], "zoo.explain", *arguments), "zoo.explain", *words, code=code)


def test_a_text_that_is_gone_or_changed(small_gpt, python, tmp_path):
    run, text = tmp_path / "run", tmp_path / "text.txt"
    shutil.copytree(small_gpt, run)
    config = json.loads((run / "config.json").read_text())
    config["recipe"]["data"] = str(text)
    (run / "config.json").write_text(json.dumps(config))
    for _ in range(2):  # gone, then changed
        done = python(tmp_path, "zoo.explain", run, "the sea", "--step", 1)
        assert done.returncode == 0 and "nobody says what comes next" in " ".join(done.stdout.split()), done.stderr
        text.write_text("the sea is wide")
    assert python(tmp_path, "zoo.explain", run, "the sea", "--next", " ").returncode == 0


def test_what_follows():
    documents = [np.array([1, 2]), np.array([3, 1, 2, 4]), np.array([1, 2, 5])]
    assert what_follows(documents, [1, 2]) == 4 and what_follows(documents, [2, 5]) is None
    assert what_follows(documents, [3]) == 1 and what_follows(documents, [1, 2, 5, 6, 7]) is None


def test_the_walk_leaves_the_model_as_it_was(small_gpt):
    model, tokenizer = zoo.load_model(str(small_gpt))
    before = {name: p.numpy() for name, p in model.named_parameters()}
    walk = Walk(model, tokenizer.encode("the sea").tolist(), 1)
    after = walk.learn(1.0)
    assert after.loss.item() < walk.loss.item()
    for name, p in model.named_parameters():
        assert (p.data == before[name]).all() and p.grad is None
    assert [w.shape for w in walk.attention.values()] == [(2, 7, 7)] * 2
    for weights in walk.attention.values():
        np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
        assert (np.triu(weights, 1) == 0).all()


def test_a_screen_at_a_time_in_a_terminal(trained):
    terminal = Terminal(trained[0], "zoo.explain", "word_meanpool", "down by the harbour")
    try:
        first = terminal.read("q: stop) ")
        assert "Step 1 of 10" in first and "Step 2" not in first
        terminal.type("\r")
        second = terminal.read("q: stop) ")
        assert "Step 2 of 10" in second and "█" in second and "Step 3" not in second
        terminal.type("q\r")
        code, rest = terminal.ends()
        assert code == 0 and "Step 3" not in rest
    finally:
        terminal.close()


@pytest.mark.parametrize("key, code", [("\x04", 0), ("\x03", 130)])
def test_leaving_in_the_middle(trained, key, code):
    terminal = Terminal(trained[0], "zoo.explain", "word_meanpool", "down by the harbour")
    try:
        terminal.read("q: stop) ")
        time.sleep(0.3)  # (between the prompt and the reading of a key, Python's input() is deaf to Ctrl-C)
        terminal.type(key)
        left, rest = terminal.ends()
        assert left == code and "Traceback" not in rest and "Step 2" not in rest
    finally:
        terminal.close()


@pytest.mark.parametrize(
    "text, chat", [("3 < 4 and 5 > 4\nso it is\n" * 30, False), (">hello\n<hi there\n>and you\n<fine\n\n" * 30, True)]
)
def test_a_chat_is_one_by_the_runs_record(python, tmp_path, text, chat):
    (tmp_path / "text.txt").write_text(text)
    size = ("--width", 8, "--heads", 1, "--layers", 1, "--context", 16, "--steps", 2, "--batch-size", 2)
    done = python(tmp_path, "zoo.train", "char_gpt", "--data", "text.txt", *size)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "runs/char_gpt/config.json").read_text())["chat"] is chat
    tokens = explained(python, tmp_path, "char_gpt", "so" if not chat else "hello")["From text to numbers"]["tokens"]
    assert (tokens[-1] == "<") == chat
    talk = python(tmp_path, "zoo.chat", "char_gpt")
    assert ("hasn't learned to converse" in talk.stderr) != chat, talk.stderr
