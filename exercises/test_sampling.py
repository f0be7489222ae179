"""Checks of the exercise in sampling.py, the simple ones first."""

import numpy as np

from exercises.sampling import Sampling

#: The likeliest token is 2, then 0, 3, 1.
P = np.array([0.3, 0.05, 0.5, 0.15])
LOGITS = np.log(P) + 3


def probabilities(logits=LOGITS, **rule):
    """The probabilities by a rule, with which a token could be drawn."""
    with np.errstate(all="ignore"):
        p = Sampling(**{"temperature": 1.0} | rule).probabilities(logits.copy())
    assert p is not None and np.shape(p) == np.shape(logits), f"there is a probability for each logit, and you gave {p}"
    assert np.isclose(np.sum(p), 1), (
        f"with {rule or 'no settings'} the probabilities add up to {np.sum(p):.4f}, and should to 1"
    )
    return p


def kept(**rule):
    """The tokens that can be drawn, in words and as a list."""
    return np.flatnonzero(probabilities(**rule)).tolist()


def test_without_settings_it_is_softmax():
    p = probabilities()
    assert np.allclose(p, P), f"at temperature 1, with no more settings, softmax gives {P}, and you {p.round(3)}"


def test_a_low_temperature_prefers_the_likely():
    p, wanted = probabilities(temperature=0.5), P**2 / (P**2).sum()
    assert not np.allclose(p, P**0.5 / (P**0.5).sum()), (
        "at temperature 0.5 the likely tokens became less so: divide, don't multiply"
    )
    assert np.allclose(p, wanted), f"at temperature 0.5 the probabilities are {wanted.round(3)}, and yours {p.round(3)}"


def test_a_high_temperature_makes_tokens_alike():
    p, wanted = probabilities(temperature=2.0), P**0.5 / (P**0.5).sum()
    assert np.allclose(p, wanted), f"at temperature 2 the probabilities are {wanted.round(3)}, and yours {p.round(3)}"


def test_at_temperature_0_the_likeliest_has_it_all():
    with np.errstate(all="ignore"):
        p = Sampling(temperature=0.0).probabilities(LOGITS.copy())
    assert np.array_equal(p, [0, 0, 1, 0]), (
        f"at temperature 0 token 2, the likeliest, has the probability 1, and you gave {p}: no number can be divided by 0"
    )


def test_large_logits_do_not_overflow():
    with np.errstate(all="ignore"):
        p = Sampling(temperature=1.0).probabilities(LOGITS + 1000)
    assert np.allclose(p, P), f"e^1000 is too large for a float, so you gave {p}: subtract the largest logit first"


def test_top_k_keeps_the_likeliest():
    for k, wanted in ((1, [2]), (2, [0, 2]), (3, [0, 2, 3])):
        assert kept(top_k=k) == wanted, f"top_k={k} keeps the tokens {wanted} of the probabilities {P}, and you {kept(top_k=k)}"


def test_what_is_kept_adds_up_to_1_again():
    p = probabilities(top_k=2)
    assert np.allclose(p, [0.375, 0, 0.625, 0]), (
        f"0.3 and 0.5, divided by their sum, are 0.375 and 0.625, and yours {p.round(3)}"
    )


def test_top_k_may_be_larger_than_the_vocabulary():
    assert np.allclose(probabilities(top_k=9), P), "top_k=9 keeps all of 4 tokens"


def test_top_p_keeps_until_p_is_reached():
    for top_p, wanted in ((0.7, [0, 2]), (0.9, [0, 2, 3]), (0.97, [0, 1, 2, 3])):
        found = kept(top_p=top_p)
        total = P[found].sum()
        assert found == wanted or total >= top_p, (
            f"top_p={top_p} keeps tokens until their sum has reached {top_p}, and you stop at {total:.2f}: the token that passes p "
            "belongs to them"
        )
        assert found == wanted, (
            f"top_p={top_p} keeps the tokens {wanted} of the probabilities {P}, the fewest that do, and you {found}"
        )


def test_top_p_always_keeps_one():
    found = kept(top_p=0.01)
    assert found == [2], f"however small top_p is, the likeliest token is kept, [2], and you kept {found}"


def test_top_p_sees_the_temperature():
    found = kept(temperature=0.25, top_p=0.8)
    assert found == [2], (
        f"at temperature 0.25 token 2 alone has the probability 0.88, so top_p=0.8 keeps it alone, and you kept {found}"
    )


def test_both_together():
    assert kept(top_k=3, top_p=0.6) == [0, 2], (
        f"top_k=3 with top_p=0.6 keeps the tokens [0, 2], and you {kept(top_k=3, top_p=0.6)}"
    )
    assert kept(top_k=1, top_p=0.9) == [2], f"top_k=1 with top_p=0.9 keeps the token [2], and you {kept(top_k=1, top_p=0.9)}"


def test_the_logits_stay_as_they_were():
    logits = LOGITS.copy()
    Sampling(temperature=0.5, top_k=2, top_p=0.9).probabilities(logits)
    assert np.array_equal(logits, LOGITS), "your sampler writes to the logits, which belong to the caller: make a copy first"
