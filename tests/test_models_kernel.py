"""Support vector machines by one matrix of kernel values are those that libsvm makes pair by pair."""

import numpy as np
import pytest
from sklearn.svm import SVC, SVR

from affectlake.models import kernel


@pytest.mark.parametrize("outputs", [1, 2, 5])
@pytest.mark.parametrize("most", [kernel.MOST, 0])
def test_a_machine_is_the_one_that_libsvm_makes(outputs, most, monkeypatch):
    monkeypatch.setattr(kernel, "MOST", most)
    monkeypatch.setattr(kernel, "_AT_ONCE", 7)
    rng = np.random.default_rng(outputs)
    y = rng.integers(0, outputs, 90) if outputs > 1 else rng.normal(size=90)
    x = (rng.normal(size=(90, 12)) + y[:, None] / 2).astype(np.float32)
    asked = rng.normal(size=(30, 12)).astype(np.float32)
    plain, ours = ((SVC if outputs > 1 else SVR)(C=5.0, gamma=1 / 16) for _ in range(2))
    plain.fit(x, y)
    kernel.fit(ours, x, y)
    assert vars(ours).keys() == vars(plain).keys()
    np.testing.assert_array_equal(ours.support_, plain.support_)
    expected = plain.decision_function(asked) if outputs > 1 else plain.predict(asked)
    np.testing.assert_allclose(kernel.scores(ours, asked), expected, atol=1e-9)
    np.testing.assert_allclose(kernel.scores(plain, asked), expected, atol=1e-9)  # as one that was read from a file
    np.testing.assert_allclose(ours.predict(asked), plain.predict(asked), atol=1e-9)


def test_other_models_are_left_to_themselves():
    from sklearn.svm import LinearSVC

    assert kernel.radial(SVC()) and not kernel.radial(SVC(kernel="linear")) and not kernel.radial(LinearSVC())
