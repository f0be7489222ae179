"""einsum."""

import numpy as np

import microtensor as mt


def test_einsum_with_a_length_that_broadcasts():
    a, b = np.ones((2, 1)), np.arange(6.0).reshape(2, 3)
    assert mt.gradcheck(lambda a, b: mt.einsum("ij,ij->i", a, b), [a, b])
