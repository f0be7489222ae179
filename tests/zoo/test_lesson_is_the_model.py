"""Whoever edits a lesson sees the edit in everything that is generated; and a new model is one file."""

import json
import math

import numpy as np
import pytest
from commands import ROOT, one_line_error

import microtensor as mt
import zoo
from microtensor import nn
from zoo.explain.trace import Trace
from zoo.inference.beam_search import beam_search
from zoo.inference.decoder import Decoder, kept
from zoo.inference.generation import generate
from zoo.inference.sampling import Sampling
from zoo.models import char_gpt

SIZES = {"layers": 2, "width": 24, "heads": 3, "context": 32}


def model(seed=1, **settings):
    """A small char_gpt whose logits are far apart."""
    made = zoo.create_model("char_gpt", **{**SIZES, **settings}).eval()
    rng = np.random.default_rng(seed)
    for p in made.parameters():
        p.data = p.data + 0.3 * rng.standard_normal(p.shape, dtype=np.float32)
    return made


def replace(made, layer):
    for block in made.blocks:
        layer(block)


def other_activation(made, monkeypatch):
    replace(made, lambda block: setattr(block.feed_forward.up, "activation", "silu"))


def no_bias(made, monkeypatch):
    replace(made, lambda block: setattr(block.attention.qkv, "bias", None))


def other_eps(made, monkeypatch):
    replace(made, lambda block: setattr(block.norm1, "eps", 0.5))


def rms_norm(made, monkeypatch):
    replace(made, lambda block: setattr(block, "norm2", nn.RMSNorm(24)))


def post_norm(made, monkeypatch):
    def forward(self, x, cache=None):
        x = self.norm1(x + self.attention(x, cache))
        return self.norm2(x + self.feed_forward(x))

    monkeypatch.setattr(char_gpt.Block, "forward", forward)


def scaled_residual(made, monkeypatch):
    def forward(self, x, cache=None):
        x = x + 0.9 * self.attention(self.norm1(x), cache)
        return x + self.feed_forward(self.norm2(x))

    monkeypatch.setattr(char_gpt.Block, "forward", forward)


def other_heads(made, monkeypatch):
    replace(made, lambda block: setattr(block.attention, "heads", 2))


def normalised_queries_and_keys(made, monkeypatch):
    def forward(self, x, cache=None):
        query, key, value = mt.split_heads(self.qkv(x), self.heads)
        query, key = mt.rms_norm(query), mt.rms_norm(key)
        if cache is not None:
            key, value = cache.extend(key.data, value.data)
        return self.out(mt.merge_heads(mt.scaled_dot_product_attention(query, key, value, causal=True)))

    monkeypatch.setattr(char_gpt.SelfAttention, "forward", forward)


def another_head(made, monkeypatch):
    made.lm_head = nn.Linear(24, 65, init_std=0.5, rng=np.random.default_rng(3))


def dropout_elsewhere(made, monkeypatch):
    def forward(self, x, cache=None):
        x = self.dropout(x + self.attention(self.norm1(x), cache))
        return self.dropout(x + self.feed_forward(self.norm2(x)))

    monkeypatch.setattr(char_gpt.Block, "forward", forward)


def a_window(made, monkeypatch):
    """An edit that shows only after 20 characters: a short prompt alone can't tell."""
    attend = char_gpt.SelfAttention.forward

    def forward(self, x, cache=None):
        y = attend(self, x, cache)
        last = x.shape[1] if cache is None else cache.length
        far = np.arange(last - x.shape[1], last)[:, None] >= 20
        return y * np.where(far, 0.5, 1).astype(np.float32)

    monkeypatch.setattr(char_gpt.SelfAttention, "forward", forward)


#: The edits, whether they change what is computed, and whether the fused kernel can follow.
EDITS = [
    (other_activation, True, True), (no_bias, True, True), (other_eps, True, True), (rms_norm, True, True),
    (post_norm, True, False), (scaled_residual, True, False), (other_heads, True, True),
    (normalised_queries_and_keys, True, False), (another_head, True, True), (dropout_elsewhere, False, True),
    (a_window, True, False),
]  # fmt: skip


@pytest.mark.parametrize("edit, changes, follows", EDITS, ids=[e[0].__name__ for e in EDITS])
def test_an_edited_lesson_is_what_generates(edit, changes, follows, monkeypatch):
    made, tokens = model(), np.random.default_rng(0).integers(0, 65, 60).tolist()
    before = made(np.array([tokens[:32]])).data[0]
    edit(made, monkeypatch)
    after = made(np.array([tokens[:32]])).data[0]
    assert (np.abs(after - before).max() > 1e-3) == changes
    fused, cached = Decoder(made), Decoder(made, fused=False)
    read = []
    for n in (1, 2, 1, 16, 1, 1, 1, 1, 8, 1, 1, 1):  # with a slide at the end
        new = tokens[len(read) : len(read) + n]
        read += new
        expected = made(np.array([read[-kept(len(read), 32) :]])).data[0, -1]
        for decoder in (fused, cached):
            np.testing.assert_allclose(decoder.read(new), expected, atol=1e-3 * np.abs(expected).max())
    assert (fused.blocks is not None) == follows
    greedy = list(generate(Decoder(made), [1], 8, Sampling(0.0), np.random.default_rng(0)))
    text = [1]
    for _ in range(8):
        text.append(int(made(np.array([text])).data[0, -1].argmax()))
    assert greedy == text[1:] == list(beam_search(Decoder(made), [1], 8, 1))
    trace = Trace(made, tokens[:12])
    np.testing.assert_allclose(trace.logits.data, made(np.array([tokens[:12]])).data[0, -1], rtol=1e-4, atol=1e-4)
    assert [weights.shape for _, weights in trace.attention] == [(made.blocks[0].attention.heads, 12, 12)] * 2


def test_an_edit_that_shows_late_is_followed_from_there(monkeypatch):
    """The first comparison is of 64 positions: this edit leaves those as they are."""
    attend = char_gpt.SelfAttention.forward

    def forward(self, x, cache=None):
        y = attend(self, x, cache)
        last = x.shape[1] if cache is None else cache.length
        late = np.arange(last - x.shape[1], last)[:, None] >= 100
        return y * np.where(late, 0.5, 1).astype(np.float32)

    monkeypatch.setattr(char_gpt.SelfAttention, "forward", forward)
    made, tokens = model(context=160), np.random.default_rng(0).integers(0, 65, 150).tolist()
    expected = made(np.array([tokens])).data[0]
    decoder, fused = Decoder(made), []
    for i, token in enumerate(tokens):
        np.testing.assert_allclose(decoder.read([token]), expected[i], atol=1e-3 * np.abs(expected).max())
        fused.append(decoder.blocks is not None)
    assert fused[50] and not fused[100]


def test_attention_weights_are_the_same_written_out():
    made, tokens = model(), np.random.default_rng(0).integers(0, 65, 12).tolist()
    fused = [weights for _, weights in Trace(made, tokens).attention]
    x = made.token_embedding(np.array([tokens])) + made.position_embedding(np.arange(12))
    query, key, _ = mt.split_heads(made.blocks[0].attention.qkv(made.blocks[0].norm1(x)), 3)
    scores = (query @ key.swapaxes(-1, -2)).data[0] / math.sqrt(8)
    scores[:, ~np.tri(12, dtype=bool)] = -np.inf
    np.testing.assert_allclose(fused[0], np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True), rtol=1e-4, atol=1e-5)


# A new model is one file


@pytest.fixture(scope="module", params=["lstm", "rotary_gpt"])
def trained_model(request, tmp_path_factory, python):
    """Its name, a folder where it was trained, and how to run a command there."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)

    def run(module, *arguments):
        done = python(folder, module, *arguments, ZOO_MODELS=str(ROOT / "tests" / "zoo" / "models"))
        assert done.returncode == 0, done.stderr
        return done

    run("zoo.train", name)
    return name, folder, run


def test_it_trains_and_resumes_to_the_same_bits(trained_model):
    name, folder, run = trained_model
    run("zoo.train", name, "--steps", 20, "--out", "half")
    run("zoo.train", name, "--resume", "--steps", 40, "--out", "half")
    for file in ("model.safetensors", "state.safetensors"):
        assert (folder / "half" / file).read_bytes() == (folder / "runs" / name / file).read_bytes()
    losses = [json.loads(line)["loss"] for line in (folder / "runs" / name / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]
    assert name in run("zoo").stdout


def test_it_generates_and_predicts(trained_model):
    name, _, run = trained_model
    text = run("zoo.generate", name, "--prompt", "the ", "--tokens", 60).stdout
    assert text.startswith("the ") and len(text) == 65
    assert run("zoo.generate", name, "--prompt", "the ", "--tokens", 12, "--beams", 3).stdout.startswith("the ")
    assert len(run("zoo.predict", name, "the ", "--top", 3).stdout.splitlines()) == 3
    assert "bits per character" in run("zoo.evaluate", name).stdout


def test_it_is_explained(trained_model):
    name, _, run = trained_model
    text = run("zoo.explain", name, "the sea of").stdout
    assert "Logits" in text and "The prediction again" in text
    assert ("head 2" in text) == (name == "rotary_gpt") and ("Recurrent cell: cell" in text) == (name == "lstm")


def test_it_is_drawn_and_compared(trained_model):
    name, folder, run = trained_model
    assert "parameters" in run("zoo.compare", name, "--steps", 3, 5).stdout
    pytest.importorskip("sklearn")
    texts = {
        "probabilities": ["the sea"],
        "embeddings": [],
        "losses": [],
        **({"attention": ["sea"]} if name == "rotary_gpt" else {}),
    }
    for what, text in texts.items():
        assert run("zoo.plot", what, name, *text, "--out", f"{what}.svg").stdout == f"Drawn: {what}.svg\n"
        assert (folder / f"{what}.svg").read_text().startswith("<?xml")


def test_a_token_costs_the_same_however_long_the_text(trained_model, monkeypatch):
    """Counted in rows that the output head sees: one for each token after the first, and a third of the context at a slide."""
    name, folder, _ = trained_model
    monkeypatch.setenv("ZOO_MODELS", str(ROOT / "tests" / "zoo" / "models"))
    import zoo.models

    monkeypatch.setattr(zoo.models, "__path__", [*zoo.models.__path__, str(ROOT / "tests" / "zoo" / "models")])
    loaded = zoo.load_model(str(folder / "runs" / name))
    made, tokenizer = loaded.model, loaded.tokenizer
    rows = []
    head = made.lm_head.forward
    made.lm_head.forward = lambda x: (rows.append(x.shape[1]), head(x))[1]
    text = tokenizer.encode("the sea and the ").tolist()
    list(generate(Decoder(made), text, 100, Sampling(1.0), np.random.default_rng(0)))
    assert rows[0] == 16 and set(rows[1:]) <= ({1} if name == "lstm" else {1, 5})


@pytest.mark.parametrize(
    "content, words",
    [("def (", ["SyntaxError", "line 1"]), ("x = 1", ["defines no model"]), ("import nothing_here", ["nothing_here"])],
)
def test_a_file_that_is_no_model(tmp_path, python, content, words):
    (tmp_path / "broken.py").write_text(content)
    done = python(tmp_path, "zoo.train", "broken", ZOO_MODELS=str(tmp_path))
    one_line_error(done, "zoo.train", "broken.py", *words, code=2)
    done = python(tmp_path, "zoo", ZOO_MODELS=str(tmp_path))
    assert done.returncode == 0 and "char_gpt" in done.stdout and "Traceback" not in done.stderr and words[-1] in done.stderr


NETWORK = """
import numpy as np
from microtensor import nn
from zoo.model import Model
class Broken(Model):
    def __init__(self, recipe, vocabulary_size, rng):
        super().__init__(recipe, vocabulary_size, rng)
        {0}
    def forward(self, tokens):
        {1}
"""


@pytest.mark.parametrize(
    "first, second, words",
    [
        ("raise RuntimeError('no\\nluck')", "pass", ["broken.py, line 8", "RuntimeError: no luck"]),
        ("pass", "return self.nothing(tokens)", ["broken.py, line 10", "AttributeError", "nothing"]),
        ("pass", "return np.zeros((len(tokens), 3), np.float32)", ["Broken.forward", "(1, 3)", "(1, 40)"]),
        ("pass", "return None", ["Broken.forward", "None"]),
        ("pass", "return np.zeros((len(tokens), self.vocabulary_size), np.float32)", ["no parameters"]),
        (
            "self.w = nn.normal((3, 40), 1.0, rng)",
            "return np.ones((len(tokens), 2), np.float32) @ self.w",
            ["line 10", "matmul"],
        ),
    ],
)
def test_a_model_that_fails_is_told_in_one_line(tmp_path, python, first, second, words):
    (tmp_path / "broken.py").write_text(NETWORK.format(first, second))
    done = python(tmp_path, "zoo.train", "broken", ZOO_MODELS=str(tmp_path))
    one_line_error(done, "zoo.train", *words, code=2)
    assert not (tmp_path / "runs").exists()
    done = python(tmp_path, "zoo", ZOO_MODELS=str(tmp_path))
    assert done.returncode == 0 and "char_gpt" in done.stdout and "Traceback" not in done.stderr


def test_words_do_not_converse(tmp_path, python):
    """A conversation whose tokens know no roles."""
    (tmp_path / "talk.txt").write_text(">hello there my friend\n<hi to you too\n\n" * 20)
    assert python(tmp_path, "zoo.train", "word_meanpool", "--data", "talk.txt", "--steps", 5).returncode == 0
    done = python(tmp_path, "zoo.chat", "word_meanpool")
    one_line_error(done, "zoo.chat", "hasn't learned to converse", code=2)
