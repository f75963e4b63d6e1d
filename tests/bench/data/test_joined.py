"""Clips end to end: the array they lie in where they do, a copy where they do not."""

import numpy as np
import pytest

from bench.data.joined import end_to_end

WHOLE = np.arange(20 * 6, dtype=np.float32).reshape(20, 2, 3).copy()


def test_slices_of_one_array_are_that_array():
    found = end_to_end([WHOLE[:5], WHOLE[5:6], WHOLE[6:]])
    assert found.data_ptr() == WHOLE.ctypes.data
    assert found.shape == (20, 6)


@pytest.mark.parametrize(
    "bounds", [[(0, 5), (6, 20)], [(5, 20), (0, 5)], [(0, 10), (10, 19)], [(0, 20), (0, 20)]]
)
def test_anything_else_is_copied_in_order(bounds):
    parts = [WHOLE[low:high] for low, high in bounds]
    found = end_to_end(parts)
    np.testing.assert_array_equal(found.numpy(), np.concatenate(parts).reshape(-1, 6))
    assert found.data_ptr() != WHOLE.ctypes.data
