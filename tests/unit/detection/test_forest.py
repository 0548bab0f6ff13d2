"""The forest served from arrays is scikit-learn's forest."""

import numpy as np
import pytest

from watchkeeper.detection.forest import Forest, average_path
from watchkeeper.detection.model import Model
from watchkeeper.detection.training import forest_of, train
from watchkeeper.errors import ModelError


@pytest.fixture(scope="module")
def fit():
    """Fits scikit-learn's forest to an array; imported here, for it takes more than a second."""
    from sklearn.ensemble import IsolationForest

    def fitted(x: np.ndarray, **settings: object) -> IsolationForest:
        return IsolationForest(**settings).fit(x)

    return fitted


@pytest.mark.parametrize(
    ("rows", "columns", "settings"),
    [
        (500, 8, {}),
        (1000, 8, {"max_samples": 0.3}),
        (400, 6, {"max_features": 0.5}),
        (300, 5, {"max_samples": 0.5, "max_features": 0.6, "bootstrap": True}),
        (900, 4, {"max_samples": 900}),
        (3, 2, {}),
        (2, 1, {"n_estimators": 1}),
        (50, 3, {"max_samples": 1}),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_equal_scikit_learns(rows: int, columns: int, settings: dict[str, object], seed: int, fit) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, columns)) * 10.0 ** rng.integers(-3, 6, columns)
    fitted = fit(x, random_state=seed, **{"n_estimators": 40, **settings})
    other = np.concatenate([x * 1.01, x, rng.standard_t(2, (1200, columns)) * x.std(0), np.round(x, 1)])
    np.testing.assert_allclose(forest_of(fitted).score(other), fitted.score_samples(other), rtol=0, atol=1e-12)


def test_inputs_on_a_threshold_fall_on_scikit_learns_side(fit) -> None:
    x = np.repeat(np.arange(7.0), 40)[:, None] / 3.0
    fitted = fit(x, n_estimators=50, random_state=3)
    cuts = np.concatenate([tree.tree_.threshold[tree.tree_.feature >= 0] for tree in fitted.estimators_])
    near = np.concatenate([cuts, np.nextafter(cuts, 9), cuts.astype(np.float32), np.nextafter(cuts, -9)])[:, None]
    np.testing.assert_allclose(forest_of(fitted).score(near), fitted.score_samples(near), rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def model() -> Model:
    return train(np.random.default_rng(0).standard_normal((2000, 8)), seed=7, version="v1", trained_at=5)


def test_a_row_scores_the_same_alone_and_in_company(model: Model) -> None:
    x = np.random.default_rng(1).standard_normal((700, 8))
    together = model.surprise(x)
    assert together.tolist() == [float(model.surprise(row[None])[0]) for row in x]


def test_a_model_survives_encoding_and_is_compact(model: Model) -> None:
    data = model.encode()
    again = Model.decode(data)
    x = np.random.default_rng(2).standard_normal((50, 8))
    assert again == model
    assert again.forest.score(x).tolist() == model.forest.score(x).tolist()
    assert len(data) < 400_000


def test_training_is_repeatable_and_ranks_outliers_first(model: Model) -> None:
    assert train(np.random.default_rng(0).standard_normal((2000, 8)), seed=7, version="v1", trained_at=5) == model
    usual, far = model.surprise(np.array([np.zeros(8), np.full(8, 9.0)]))
    assert usual < 3.0 < far


@pytest.mark.parametrize("damage", ["empty", "cut short", "other version", "changed"])
def test_a_damaged_model_is_refused(model: Model, damage: str) -> None:
    data = model.encode()
    spoilt = {
        "empty": b"",
        "cut short": data[:-1],
        "other version": b"WKM9" + data[4:],
        "changed": data[:99] + b"!!" + data[101:],
    }
    with pytest.raises(ModelError):
        Model.decode(spoilt[damage])


@pytest.mark.parametrize(
    ("feature", "cut"),
    [([0, -1], [1.0, 1.0]), ([9, -1, -1], [1, 1, 1]), ([-1, -1, -1], [0, 1, 1]), ([0, 0, -1], [1, 1, 1])],
)
def test_nodes_that_form_no_tree_are_refused(feature: list[int], cut: list[float]) -> None:
    parts = (np.array([len(feature)], "<i4"), np.array(feature, "<i2"), np.array(cut, "<f4"))
    forest = Forest(3, 4, *(part.tobytes() for part in parts))
    with pytest.raises(ModelError):
        assert forest.depth


def test_trees_that_are_leaves_and_leaves_that_nothing_leads_to_are_served() -> None:
    feature, cut = [-1, 1, -1, -1, -1], [3.0, 0.5, 2.0, 1.0, 9.0]  # the last one is no node's child
    parts = (np.array([1, 4], "<i4"), np.array(feature, "<i2"), np.array(cut, "<f4"))
    forest = Forest(2, 4, *(part.tobytes() for part in parts))
    alone, two, one, four = average_path(np.array([3, 2, 1, 4]))
    left, right = forest.score(np.array([[7.0, 0.5], [7.0, 0.6]])).tolist()
    assert left == -(2.0 ** -((alone + 1.0 + two) / (2 * four)))
    assert right == -(2.0 ** -((alone + 1.0 + one) / (2 * four)))


def test_too_little_to_train_on_is_said() -> None:
    with pytest.raises(ModelError, match="cannot train"):
        train(np.zeros((1, 8)), seed=0)
