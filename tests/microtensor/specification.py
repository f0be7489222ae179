"""A kernel compared with its specification, the same function in plain NumPy."""

import numpy as np

from microtensor.kernels.runtime import config, threads


def spread_out(x):
    """The same values with gaps and backward steps between them in memory."""
    wide = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
    view = wide[(slice(None, None, -2),) * x.ndim + (Ellipsis,)]
    view[...] = x
    return view


def agrees(kernel, specification, *arrays, rtol=1e-5):
    """Compare a function of arrays with its specification, in float32 (to `rtol`) and float64 (to 1e-7 of that).

    Both return an array or a tuple of arrays. The function must leave its inputs as they are, take arrays that aren't contiguous,
    and give the same bits with 1 thread and with 3, however little the work.
    """
    for dtype, tolerance in ((np.float32, rtol), (np.float64, 1e-7 * rtol)):
        inputs = [x.astype(dtype) for x in arrays]
        expected = _several(specification(*(x.astype(np.float64) for x in inputs)))
        layouts = inputs, [spread_out(x) for x in inputs], [np.asfortranarray(x) for x in inputs]
        found = [_with_threads(n, kernel, given) for n in (1, 3) for given in layouts]
        for result, value in zip(found[0], expected, strict=True):
            assert result.dtype == dtype
            np.testing.assert_allclose(result, value, rtol=tolerance, atol=tolerance)
        for other in found[1:]:
            for result, again in zip(found[0], other, strict=True):
                np.testing.assert_array_equal(again, result)


def _several(results):
    return results if isinstance(results, tuple) else (results,)


def _with_threads(n, kernel, inputs):
    """The results with n threads that share all work."""
    before = config.get_num_threads(), threads.PART
    copies = [x.copy() for x in inputs]
    config.set_num_threads(n)
    threads.PART = 1
    try:
        results = _several(kernel(*inputs))
    finally:
        config.set_num_threads(before[0])
        threads.PART = before[1]
    for x, copy in zip(inputs, copies, strict=True):
        np.testing.assert_array_equal(x, copy, err_msg="the kernel changed its input")
    return results
