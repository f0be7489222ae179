"""Checks of the exercise in attention.py, the simple ones first.

Where the values are the rows of an identity matrix, the results are the attention weights.
"""

import numpy as np

import microtensor as mt
from exercises.attention import scaled_dot_product_attention as attention

RNG = np.random.default_rng(0)
QUERY, KEY, VALUE = RNG.normal(size=(3, 4, 2))


def weights(query=QUERY, key=KEY, causal=True):
    """The attention weights (queries, keys)."""
    return np.asarray(attention(query, key, np.eye(len(key)), causal=causal))


def test_the_only_position_gives_its_value():
    y = np.asarray(attention(QUERY[:1], KEY[:1], VALUE[:1]))
    assert y.shape == (1, 2), f"for one position with a value of 2 numbers the result is (1, 2), and yours {y.shape}"
    assert np.allclose(y, VALUE[:1]), f"who can attend to one position only gets its value, {VALUE[0]}, and yours is {y[0]}"


def test_equal_scores_give_the_mean_of_the_values():
    y = np.asarray(attention(0 * QUERY, KEY, VALUE))
    assert np.allclose(y, VALUE.mean(axis=0)), (
        f"where all scores are 0, each result is the mean {VALUE.mean(axis=0)}, not {y[0]}"
    )


def test_the_weights_of_a_query_add_up_to_1():
    for row, total in enumerate(weights(causal=False).sum(axis=1)):
        assert np.isclose(total, 1), (
            f"the attention weights in row {row} add up to {total:.3f}, and should to 1: softmax is along the last axis, the keys"
        )


def test_no_position_attends_to_a_later_one():
    for row, row_weights in enumerate(weights()):
        for position in range(row + 1, len(KEY)):
            assert row_weights[position] == 0, (
                f"row {row} attends to position {position}, which comes after it, with the weight {row_weights[position]:.3f}"
            )


def test_masked_weights_add_up_to_1():
    for row, total in enumerate(weights().sum(axis=1)):
        assert np.isclose(total, 1), (
            f"the causal attention weights in row {row} add up to {total:.3f}, and should to 1: mask the scores before the softmax, not "
            "the weights after it"
        )


def test_without_causal_every_position_is_seen():
    assert (weights(causal=False) > 0).all(), "with causal=False each position attends to all, to later ones, too"


def test_the_scores_are_divided_by_the_root_of_the_width():
    query, key = np.array([[2.0, 0, 0, 0]]), np.array([[1.0, 0, 0, 0], [0, 0, 0, 0]])
    y = weights(query, key, causal=False)[0]
    for divisor, wrong in ((1.0, "aren't divided by anything"), (4.0, "are divided by the width, not by its square root")):
        assert not np.allclose(y[0] / y[1], np.exp(2 / divisor)), (
            f"the scores {wrong}: the width is 4, so divide by sqrt(4) = 2"
        )
    assert np.isclose(y[0] / y[1], np.e), (
        f"the scores 2 and 0, divided by sqrt(4), give the weights 0.731 and 0.269, not {y.round(3)}"
    )


def test_large_scores_do_not_overflow():
    with np.errstate(all="ignore"):
        y = weights(1000 * QUERY, 1000 * KEY)
    assert np.isfinite(y).all(), (
        "with large scores the weights aren't finite: use mt.softmax, or subtract the largest score first"
    )


def test_heads_attend_on_their_own():
    query, key, value = (np.stack([[x, -x, x + 1]] * 2) for x in (QUERY, KEY, VALUE))
    y = np.asarray(attention(query, key, value, causal=True))
    assert y.shape == (2, 3, 4, 2), f"for 2 texts with 3 heads of 4 positions the result is (2, 3, 4, 2), and yours {y.shape}"
    for head in range(3):
        alone = np.asarray(attention(query[0, head], key[0, head], value[0, head], causal=True))
        assert np.allclose(y[1, head], alone), f"head {head} gives another result among others than alone"


def test_the_gradient_reaches_queries_keys_and_values():
    mt.gradcheck(lambda query, key, value: attention(query, key, value, causal=True), QUERY, KEY, VALUE)


def test_the_last_query_stands_at_the_last_key():
    found, wanted = weights(QUERY[-2:]), weights()[-2:]
    assert np.allclose(found, wanted), (
        "two queries with four keys are those of the last two positions: they attend to 3 and to 4 positions, and yours to "
        f"{np.count_nonzero(found[0])} and to {np.count_nonzero(found[1])}"
    )
