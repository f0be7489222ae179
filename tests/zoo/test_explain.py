"""python -m zoo.explain: every number it shows is the engine's."""

import json
import re
import termios

import numpy as np
import pytest
from commands import ROOT, copy_run, one_line_error, seal
from terminal import Terminal

import microtensor as mt
import zoo
from microtensor import nn
from microtensor.serialize import load_safetensors
from zoo.columns import width
from zoo.explain.explanation import explain
from zoo.explain.parts import model_parts
from zoo.explain.screen import View
from zoo.explain.terminal import SHADES, SIGNS, number
from zoo.explain.terminal import Terminal as Styled
from zoo.explain.trace import Trace, what_follows
from zoo.model import Model
from zoo.recipe import Recipe
from zoo.tokenizers.characters import CharTokenizer


def explained(python, folder, *arguments, **env):
    done = python(folder, "zoo.explain", *arguments, "--json", **env)
    assert done.returncode == 0, done.stderr
    return {screen["title"]: screen for screen in map(json.loads, done.stdout.splitlines())}


def test_a_word_model_in_its_own_numbers(trained, python):
    screens = explained(python, trained[0], "word_meanpool", "down by the harbour")
    loaded = zoo.load_model(str(trained[0] / "runs" / "word_meanpool"))
    model, tokenizer = loaded.model, loaded.tokenizer
    ids = tokenizer.encode("down by the harbour").tolist()
    first = screens["From text to numbers"]
    assert first["ids"] == ids and first["tokens"] == ["down", "by", "the", "harbour"] and first["target"] == "where"
    logits = model(np.array([ids]))
    loss = mt.cross_entropy(logits, [first["target_id"]])
    loss.backward()
    np.testing.assert_allclose(screens["Logits"]["logits"], logits.data[0], rtol=1e-6)
    np.testing.assert_allclose(screens["Probabilities"]["probabilities"], mt.softmax(logits.data)[0], rtol=1e-6)
    assert screens["The loss"]["loss"] == loss.item() == pytest.approx(-np.log(screens["The loss"]["probability"]), abs=1e-5)
    table = model.embeddings.data
    assert screens["Mean of the embeddings"]["context"] == pytest.approx(table[ids].mean(axis=0).tolist(), rel=1e-5, abs=1e-6)
    gradient = np.array(screens["Backward: p minus one-hot"]["gradient"])
    expected = mt.softmax(logits.data)[0] - np.eye(len(tokenizer.vocabulary))[first["target_id"]]
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    reached = screens["Backward: to an embedding"]
    assert reached["token"] == "harbour" and reached["embedding"] == table[ids[-1]].tolist()
    np.testing.assert_allclose(reached["gradient"], model.embeddings.grad.data[ids[-1]], rtol=1e-5, atol=1e-9)
    step = screens["One step of learning"]
    assert step["after"] == pytest.approx(step["before"] - 6.4 * step["weight_gradient"], rel=1e-5)
    last = screens["The prediction again"]
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


BLOCK = "Block {} of {}: self-attention and feed-forward"


@pytest.mark.parametrize(
    "model, text, parts",
    [
        ("word_meanpool", "see the lights burn", ["Mean of the embeddings"]),
        ("char_meanpool", "the c", ["Mean of the embeddings"]),
        ("word_ngram", "the cat sat", ["Embeddings side by side", "Hidden layer, tanh: hidden"]),
        ("char_gpt", "ROMEO:", [*(BLOCK.format(i, 6) for i in range(1, 7)), "Norm: norm"]),
        ("chat_gpt", "Hello!", [*(BLOCK.format(i, 3) for i in range(1, 4)), "Norm: norm"]),
    ],
)
def test_every_model_before_training(python, tmp_path, model, text, parts):
    token = {"char_gpt": "\n", "chat_gpt": "H"}.get(model, "on" if model == "word_ngram" else "t" if "char" in model else "the")
    done = python(tmp_path, "zoo.explain", model, text, "--untrained", "--next", token)
    assert done.returncode == 0, done.stderr
    titles = re.findall(r"^Step \d+ of \d+: (.*)$", done.stdout, re.M)
    assert titles[:2] == ["From text to numbers", "Embeddings"]
    assert titles[2 : 2 + len(parts)] == parts and titles[2 + len(parts)] == "Logits"
    assert max(map(len, done.stdout.splitlines())) <= 80 and ": better." in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_side_by_side_characters(python, tmp_path):
    assert python(tmp_path, "zoo.train", "char_meanpool", "--pooling", "concat", "--epochs", 3).returncode == 0
    for text, numbers in (("the c", 160), ("c", 32)):
        screens = explained(python, tmp_path, "runs/char_meanpool", text, "--next", "a")
        assert len(screens["Embeddings side by side"]["context"]) == numbers


def test_attention_weights_and_the_parts_of_a_block(small_gpt, python, tmp_path):
    screens = explained(python, tmp_path, small_gpt, "the sea is", "--next", " ")
    loaded = zoo.load_model(str(small_gpt))
    model, tokenizer = loaded.model, loaded.tokenizer
    ids = tokenizer.encode("the sea is")[None]
    np.testing.assert_allclose(screens["Logits"]["logits"], model(ids).data[0, -1], atol=1e-5)
    x = model.token_embedding(ids) + model.position_embedding(np.arange(ids.shape[1]))
    for layer, block in enumerate(model.blocks, 1):
        query, key, _ = mt.split_heads(block.attention.qkv(block.norm1(x)), 2)
        found, weights = block.attention(block.norm1(x)), mt.attention_weights(query, key, causal=True)
        screen = screens[BLOCK.format(layer, 2)]
        for head in range(2):
            np.testing.assert_allclose(screen["heads"][head]["weights"], weights.data[0, head, -1], atol=1e-5)
        path, between = f"blocks.{layer - 1}", x + found
        more = block.feed_forward(block.norm2(between))
        parts = [
            (f"{path}.norm1", "norm", block.norm1(x)), (f"{path}.attention", "attention", found),
            ("", "residual sum", between), (f"{path}.norm2", "norm", block.norm2(between)),
            (f"{path}.feed_forward", "feed-forward", more), ("", "residual sum", between + more),
        ]  # fmt: skip
        assert (screen["path"], screen["kind"]) == (path, "attention")
        assert [(p["path"], p["kind"]) for p in screen["parts"]] == [(path, kind) for path, kind, _ in parts]
        for shown, (_, _, values) in zip(screen["parts"], parts, strict=True):
            np.testing.assert_allclose(shown["output"], values.data[0, -1], atol=1e-4)
        x = between + more
    assert screens["Norm: norm"]["kind"] == "norm"
    np.testing.assert_allclose(screens["Norm: norm"]["before"], x.data[0, -1], atol=1e-4)
    np.testing.assert_allclose(screens["Norm: norm"]["after"], model.norm(x).data[0, -1], atol=1e-4)


@pytest.fixture
def count(monkeypatch):
    """The work done: forward passes, backward passes, and rows of attention weights."""
    from microtensor import autograd

    done = {"forward": 0, "backward": 0, "rows": 0}
    forward, propagate, weigh = Model.__call__, autograd.propagate, mt.attention_weights

    def counted(name, function, rows=lambda *arguments: 1):
        def run(*arguments, **options):
            done[name] += rows(*arguments)
            return function(*arguments, **options)

        return run

    monkeypatch.setattr(Model, "__call__", counted("forward", forward))
    monkeypatch.setattr(autograd, "propagate", counted("backward", propagate))
    monkeypatch.setattr(mt, "attention_weights", counted("rows", weigh, lambda query, *_: query.shape[-2]))
    return done


def test_only_what_is_shown_is_computed(small_gpt, count):
    loaded = zoo.load_model(str(small_gpt))
    model, tokenizer = loaded.model, loaded.tokenizer
    count.update(forward=0)

    def screens():
        return explain(View(Trace(model, tokenizer.encode("the sea is").tolist(), 1), tokenizer, Styled(False)))

    done = screens()
    assert count == {"forward": 1, "backward": 0, "rows": 0}
    work = []
    for i in range(len(done)):
        count.update(forward=0, backward=0, rows=0)
        screens()[i].draw()
        work.append((done[i].title.partition(":")[0], *count.values()))
    assert work == [
        ("From text to numbers", 1, 0, 0), ("Embeddings", 1, 0, 0), ("Block 1 of 2", 1, 0, 1), ("Block 2 of 2", 1, 0, 1),
        ("Norm", 1, 0, 0), ("Logits", 1, 0, 0), ("Probabilities", 1, 0, 0), ("The loss", 1, 0, 0), ("Backward", 1, 1, 0),
        ("Backward", 1, 1, 0), ("One step of learning", 1, 1, 0), ("The prediction again", 2, 1, 0),
    ]  # fmt: skip
    count.update(forward=0, backward=0, rows=0)
    for screen in screens():
        screen.draw()
    assert count == {"forward": 2, "backward": 1, "rows": 2}


def test_one_backward_pass_gives_all_gradients(small_gpt):
    loaded = zoo.load_model(str(small_gpt))
    model, tokenizer = loaded.model, loaded.tokenizer
    trace = Trace(model, tokenizer.encode("the sea is").tolist(), 1)
    wanted = [trace.logits, *model.parameters()]
    for tensor in wanted:
        np.testing.assert_allclose(trace.gradient(tensor), mt.grad(trace.loss, tensor)[0].data, rtol=1e-4, atol=1e-7)


@pytest.fixture(scope="module")
def unseen(tmp_path_factory, python):
    """A folder with runs of the LSTM and the rotary GPT, and the environment in which they are models."""
    folder, env = tmp_path_factory.mktemp("unseen"), {"ZOO_MODELS": str(ROOT / "tests" / "zoo" / "models")}
    for name in ("lstm", "rotary_gpt"):
        assert python(folder, "zoo.train", name, "--steps", 5, **env).returncode == 0
    return folder, env


def own_parameters(folder, name):
    return load_safetensors(folder / "runs" / name / "model.safetensors")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_a_recurrent_cell_has_a_screen_of_its_own(unseen, python):
    folder, env = unseen
    screens = explained(python, folder, "lstm", "the sea of", **env)
    assert list(screens)[1:4] == ["Embeddings", "Recurrent cell: cell", "Logits"]
    cell, ids = screens["Recurrent cell: cell"], screens["From text to numbers"]["ids"]
    assert (cell["path"], cell["kind"]) == ("cell", "recurrent cell")
    p = own_parameters(folder, "lstm")
    hidden, state, expected = np.zeros(24), np.zeros(24), []
    for x in p["embedding.weight"][ids]:
        forget, enter, show, new = np.split(
            np.concatenate([x, hidden]) @ p["cell.gates.weight"] + p["cell.gates.bias"], 4
        )  # fmt: skip
        state = sigmoid(forget) * state + sigmoid(enter) * np.tanh(new)
        hidden = sigmoid(show) * np.tanh(state)
        expected.append(hidden)
    np.testing.assert_allclose(cell["hidden_states"], expected, atol=1e-5)
    shown = python(folder, "zoo.explain", "lstm", "the sea of", "--step", 3, **env).stdout
    assert "10 times" in shown and "(2 earlier ones)" in shown
    numbers = re.findall(r"-?\d+\.\d{4}", shown.partition("After the last, f, in numbers:")[2])
    np.testing.assert_allclose([float(n) for n in numbers], cell["hidden_states"][-1], atol=6e-5)
    alone = explained(python, folder, "lstm", "t", **env)  # (a single use doesn't tell that there would be others)
    assert alone["Cell: cell"]["kind"] == "module"


@pytest.mark.parametrize("cell, kind", [("rnn", "RNN"), ("gru", "GRU"), ("lstm", "LSTM")])
def test_a_recurrent_layer_shows_its_hidden_states(tmp_path, python, cell, kind):
    (tmp_path / "t.txt").write_text("ab" * 400)  # fewer characters than positions: their rows are multiplied first
    settings = ("--data", "t.txt", "--width", 6, "--layers", 2, "--batch-size", 4, "--steps", 3, "--cell", cell)
    assert python(tmp_path, "zoo.train", "char_rnn", *settings).returncode == 0
    screens = explained(python, tmp_path, "char_rnn", "abababab")
    names = ["Recurrent cell: layers.0", "Recurrent cell: layers.1"]
    assert list(screens)[1:5] == ["Embeddings", *names, "Logits"]
    model = zoo.load_model(str(tmp_path / "runs" / "char_rnn")).model
    x = model.token_embedding(np.array([screens["From text to numbers"]["ids"]]))
    np.testing.assert_allclose([row for _, row in screens["Embeddings"]["embeddings"]], x.data[0], atol=1e-6)
    for name, layer in zip(names, model.layers, strict=True):
        assert type(layer).__name__ == kind
        x, _ = layer(x)
        np.testing.assert_allclose(screens[name]["hidden_states"], x.data[0], atol=1e-5)


def test_a_gpt_with_norms_and_attention_of_its_own(unseen, python):
    folder, env = unseen
    screens = explained(python, folder, "rotary_gpt", "the sea of", **env)
    assert list(screens)[2:6] == [BLOCK.format(1, 2), BLOCK.format(2, 2), "Norm: norm", "Logits"]
    p, ids = own_parameters(folder, "rotary_gpt"), screens["From text to numbers"]["ids"]
    x = p["embedding.weight"][ids]
    normed = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-6) * p["blocks.0.norm1.weight"]
    query, key, _ = (normed @ p["blocks.0.attention.qkv.weight"]).reshape(10, 3, 2, 12).transpose(1, 2, 0, 3)
    turned = [a[..., :6] + 1j * a[..., 6:] for a in (query, key)]
    turned = [a * np.exp(1j * np.arange(10)[:, None] / 10_000 ** (np.arange(6) / 6)) for a in turned]
    e = np.exp((turned[0] @ turned[1].conj().swapaxes(1, 2)).real / np.sqrt(12))[:, -1]
    block = screens[BLOCK.format(1, 2)]
    np.testing.assert_allclose([h["weights"] for h in block["heads"]], e / e.sum(axis=1, keepdims=True), atol=1e-4)
    np.testing.assert_allclose(block["parts"][0]["output"], normed[-1], atol=1e-4)
    assert [part["kind"] for part in block["parts"]] == [
        "norm", "attention", "residual sum", "norm", "linear", "linear", "ops", "linear", "residual sum",
    ]  # fmt: skip
    text = python(folder, "zoo.explain", "rotary_gpt", "the sea of", "--step", 3, **env).stdout
    assert "norm1, RMSNorm" in text and "gate, SiLU" in text and "head 2" in text


@pytest.mark.parametrize("name", ["lstm", "rotary_gpt", "char_meanpool", "word_ngram", "char_gpt"])
def test_every_screen_in_colour_and_without(unseen, python, name):
    folder, env = unseen
    mine = name in ("lstm", "rotary_gpt")
    arguments = [name, "the sea of"] if mine else [name, "the cat", "--untrained", "--next", "a" if "char" in name else "on"]
    plain = python(folder, "zoo.explain", *arguments, **env)
    coloured = python(folder, "zoo.explain", *arguments, FORCE_COLOR="1", NO_COLOR="", **env)
    assert plain.returncode == coloured.returncode == 0, plain.stderr + coloured.stderr
    assert "\033" not in plain.stdout and max(map(len, plain.stdout.splitlines())) <= 80
    text = coloured.stdout
    assert re.findall("\033\\[1mStep (\\d+) of", text) == re.findall(r"^Step (\d+) of", plain.stdout, re.M)
    for shade, sign in zip(SHADES, SIGNS, strict=True):
        text = text.replace(f"\033[38;5;{shade}m█", sign)
    assert re.sub(r"\033\[\d*m", "", text) == plain.stdout


# Models of other shapes


class Bare(Model):
    """Three parameters, and all the rest in NumPy's words."""

    def __init__(self, recipe, vocabulary, rng):
        super().__init__(recipe, vocabulary, rng)
        self.table, self.inner, self.outer = (nn.normal(s, 0.5, rng) for s in ((vocabulary, 6), (6, 6), (6, vocabulary)))


class Numpy(Bare):
    def forward(self, tokens):
        x = self.table[np.asarray(tokens)]
        return (x + np.tanh(x @ self.inner)) @ self.outer


class Loop(Bare):
    """A recurrent network whose loop is in the model's own forward."""

    def forward(self, tokens):
        x, h = self.table[np.asarray(tokens)], np.zeros((len(tokens), 6), np.float32)
        states = []
        for i in range(tokens.shape[1]):
            h = np.tanh(x[:, i] + h @ self.inner)
            states.append(h)
        return mt.stack(states, axis=1) @ self.outer


class PerPosition(Loop):
    """The same, with the logits made in the loop."""

    def forward(self, tokens):
        x, h = self.table[np.asarray(tokens)], np.zeros((len(tokens), 6), np.float32)
        logits = []
        for i in range(tokens.shape[1]):
            h = np.tanh(x[:, i] + h @ self.inner)
            logits.append(h @ self.outer)
        return mt.stack(logits, axis=1)


class Attends(Bare):
    def forward(self, tokens):
        x = self.table[np.asarray(tokens)]
        return (x + mt.attention_weights(x[:, None], x[:, None], causal=True)[:, 0] @ x) @ self.outer


class Body(nn.Module):
    def __init__(self, rng):
        self.table, self.hidden, self.head = nn.Embedding(9, 6, rng=rng), nn.Linear(6, 6, rng=rng), nn.Linear(6, 9, rng=rng)

    def forward(self, tokens):
        return self.head(np.tanh(self.hidden(self.table(tokens))))


class Wrapped(Model):
    """All of it in one module."""

    def __init__(self, recipe, vocabulary, rng):
        super().__init__(recipe, vocabulary, rng)
        self.body = Body(rng)

    def forward(self, tokens):
        return self.body(tokens)


class Counts(Model):
    """Nothing to learn."""

    def forward(self, tokens):
        return mt.Tensor(np.eye(9, dtype=np.float32)[np.asarray(tokens)])


@pytest.mark.parametrize(
    "kind, kinds",
    [
        (Numpy, ["linear", "residual sum"]),
        (Loop, ["recurrent cell"]),
        (PerPosition, ["recurrent cell"]),
        (Attends, ["ops", "attention", "ops", "residual sum"]),
        (Wrapped, ["linear"]),
        (Counts, []),
    ],
)
@pytest.mark.parametrize("tokens", [[3], [1, 2], [0, 1, 2], [8, 0, 3, 3, 1]])
def test_models_of_other_shapes(kind, kinds, tokens):
    model = kind(Recipe(context=8), 9, np.random.default_rng(0))
    trace = Trace(model, tokens, 4)
    parts, head = model_parts(trace)
    if len(tokens) > 1 or "recurrent cell" not in kinds:
        assert [part.kind for part in parts] == kinds
    for part in parts:
        if part.cell is not None:
            assert [state.shape for state in part.cell.states] == [(1, 6)] * len(tokens)
            np.testing.assert_allclose(part.cell.states[-1].data @ model.outer.data, trace.logits.data[None], rtol=1e-4)
    assert (head is None) == (kind is Counts)
    assert head is None or head.output is trace.all_logits or kind is PerPosition
    for screen in explain(View(trace, CharTokenizer(list("abcdefghi")), Styled(False))):
        lines, figures = screen.draw()
        assert lines and max(map(len, lines)) <= 80 and json.dumps(figures)


def test_a_sentence_of_ones_own(trained, python):
    done = python(trained[0], "zoo.explain", "word_meanpool", "the the the", "--step", 1)
    assert done.returncode == 0 and "nobody says what comes next" in done.stdout, done.stderr
    screens = explained(python, trained[0], "word_meanpool", "the the the")
    likeliest = int(np.argmax(screens["Logits"]["logits"]))
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
        (("word_meanpool", "by the", "--data-dir", ""), ["--data-dir"], 2),
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
    copy_run(small_gpt, run)
    config = json.loads((run / "config.json").read_text())
    config["recipe"]["data"] = str(text)
    (run / "config.json").write_text(json.dumps(config))
    seal(run)
    for _ in range(2):  # gone, then changed
        done = python(tmp_path, "zoo.explain", run, "the sea", "--step", 1)
        assert done.returncode == 0 and "nobody says what comes next" in " ".join(done.stdout.split()), done.stderr
        text.write_text("the sea is wide")
    assert python(tmp_path, "zoo.explain", run, "the sea", "--next", " ").returncode == 0


def test_what_follows():
    documents = [np.array([1, 2]), np.array([3, 1, 2, 4]), np.array([1, 2, 5])]
    assert what_follows(documents, [1, 2]) == 4 and what_follows(documents, [2, 5]) is None
    assert what_follows(documents, [3]) == 1 and what_follows(documents, [1, 2, 5, 6, 7]) is None


def test_the_trace_leaves_the_model_as_it_was(small_gpt):
    loaded = zoo.load_model(str(small_gpt))
    model, tokenizer = loaded.model, loaded.tokenizer
    before = {name: p.numpy() for name, p in model.named_parameters()}
    trace = Trace(model, tokenizer.encode("the sea").tolist(), 1)
    assert Trace(trace.learned(1.0), trace.tokens, 1).loss.item() < trace.loss.item()
    for name, p in model.named_parameters():
        assert (p.data == before[name]).all() and p.grad is None
    assert [(path, w.shape) for path, w in trace.attention] == [(f"blocks.{i}.attention", (2, 7, 7)) for i in (0, 1)]
    for _, weights in trace.attention:
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
        terminal.type("x ")  # (a key that means nothing, and the space bar)
        assert "Step 3 of 10" in terminal.read("q: stop) ")
        terminal.type("q")
        code, rest = terminal.ends()
        assert code == 0 and "Step 4" not in rest
    finally:
        terminal.close()


@pytest.mark.parametrize("key, code", [("\x04", 0), ("\x03", 130)])
def test_leaving_in_the_middle(trained, key, code):
    terminal = Terminal(trained[0], "zoo.explain", "word_meanpool", "down by the harbour")
    try:
        terminal.read("q: stop) ")
        terminal.type(key)
        left, rest = terminal.ends()
        assert left == code and "Traceback" not in rest and "Step 2" not in rest
    finally:
        terminal.close()


@pytest.mark.parametrize("key", ["q", "\x03"])
def test_the_terminal_is_left_as_it_was(trained, key):
    """Keys are shown and lines are read, as before: by the shell that has the terminal when the command has ended."""
    terminal = Terminal(trained[0], "zoo.explain", "word_meanpool", "down by the harbour")
    try:
        before = termios.tcgetattr(terminal.screen)
        terminal.read("q: stop) ")
        assert not termios.tcgetattr(terminal.screen)[3] & termios.ICANON
        terminal.type(key)
        terminal.ends()
        assert termios.tcgetattr(terminal.screen) == before
    finally:
        terminal.close()


@pytest.mark.parametrize("columns", [40, 80, 180])
def test_lines_fit_the_terminal(unseen, trained, python, tmp_path, columns):
    folder, env = unseen
    (tmp_path / "text.txt").write_text("\u5e8a\u524d\u660e\u6708\u5149 \U0001f499\ufe0f\n" * 60, encoding="utf-8")
    size = ("--width", 48, "--heads", 2, "--layers", 2, "--context", 16, "--batch-size", 2, "--steps", 2)
    assert python(tmp_path, "zoo.train", "char_gpt", "--data", "text.txt", *size).returncode == 0
    wanted = {
        (trained[0], "zoo.explain", "word_meanpool", "down by the harbour"): 10,
        (folder, "zoo.explain", "lstm", "the sea of"): 10,
        (folder, "zoo.explain", "rotary_gpt", "the sea of"): 12,
        (tmp_path, "zoo.explain", "runs/char_gpt", "\u5e8a\u524d\u660e\u6708\u5149"): 12,
        (tmp_path, "zoo.explain", "chat_gpt", "What is a penguin?"): 13,  # whose loss and gradients are very small
        (tmp_path, "zoo.predict", "runs/char_gpt", "\u5e8a\u524d"): 0,
        (trained[0], "zoo.predict", "word_meanpool", "down by the harbour"): 0,
        (trained[0], "zoo"): 0,
    }
    for command, screens in wanted.items():
        done = python(*command, **env, COLUMNS=str(columns))
        assert done.returncode == 0 and done.stdout.count("Step ") == screens, done.stderr
        for line in done.stdout.splitlines():
            assert width(line) <= columns, line
    compared = python(tmp_path, "zoo.compare", "word_ngram", "--learning-rate", 0.1, 0.2, "--steps", 5, COLUMNS=str(columns))
    lines = compared.stdout.splitlines()
    assert lines and max(map(width, lines)) <= columns and ("learning rate: 0.2" in lines) == (columns == 40)
    wide = python(tmp_path, "zoo.explain", "runs/char_gpt", "\u5e8a\u524d", "--step", 2, COLUMNS=str(columns)).stdout
    assert ("aren't shown" in " ".join(wide.split())) == (columns < 180)


@pytest.mark.parametrize("columns", ["0", "-3", "x", ""])
def test_no_line_is_lost_where_the_width_is_unknown(trained, python, columns):
    for command in (("zoo",), ("zoo.explain", "word_meanpool", "down by the harbour"), ("zoo.predict", "word_meanpool", "by")):
        known, unknown = (python(trained[0], *command, COLUMNS=c) for c in ("80", columns))
        assert unknown.returncode == 0 and unknown.stdout == known.stdout


def test_a_number_is_narrow():
    for value in (0.0, -0.001, -0.00099, -3.58e-17, 1.5, -98.99999, -99.0, -9998.999, -9999.0, 1e30, -1e-40):
        assert len(number(value)) <= 8 and abs(float(number(value)) - value) <= 0.05 * abs(value)


def test_in_a_narrow_terminal(trained):
    """As a person has it, whose terminal says itself how wide it is."""
    for columns in (40, 180):
        terminal = Terminal(trained[0], "zoo.explain", "word_meanpool", "down by the harbour", columns=columns)
        try:
            for step in range(1, 10):
                seen = terminal.read("q: stop) ")
                assert f"Step {step} of 10" in seen and max(map(width, seen.splitlines())) <= columns
                terminal.type(" ")
            assert terminal.ends()[0] == 0
        finally:
            terminal.close()


def test_pieces_of_characters_are_named(python, tmp_path):
    characters = np.random.default_rng(0).choice(list("\u5e8a\u524d\u660e\u6708\u5149"), 500)
    (tmp_path / "text.txt").write_text("".join(characters), encoding="utf-8")
    size = ("--width", 8, "--heads", 1, "--layers", 1, "--context", 16, "--batch-size", 2, "--steps", 2)
    done = python(tmp_path, "zoo.train", "char_gpt", "--data", "text.txt", "--tokenizer", "bpe", *size)
    assert done.returncode == 0, done.stderr
    done = python(tmp_path, "zoo.explain", "char_gpt", "\u7329")  # (a character that isn't in the text)
    assert done.returncode == 0 and "\ufffd" not in done.stdout and r"\xe7" in done.stdout, done.stderr


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
