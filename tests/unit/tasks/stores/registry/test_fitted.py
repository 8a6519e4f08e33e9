"""The digest of a fitted object: equal for equal content, another for any change of it, and never a guess."""

import functools
import random
import threading
from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KDTree, KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer

from tasks.stores.registry import models
from tasks.stores.registry.fitted import FittedError, fitted_digest

X, Y = make_classification(120, 5, random_state=0)
ESTIMATORS = {
    "forest": RandomForestClassifier(5, random_state=1),
    "boosting": HistGradientBoostingClassifier(max_iter=3, random_state=1),
    "logistic": LogisticRegression(),
    "search": GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}),
}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8)
values = st.recursive(
    scalars | hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(max_dims=2, max_side=4, min_side=0)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(values)
@settings(deadline=None)
def test_a_copy_has_the_same_digest(value: Any) -> None:
    assert fitted_digest(deepcopy(value)) == fitted_digest(value)


@given(st.dictionaries(st.text(max_size=5) | st.integers(), scalars, min_size=2), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_of_a_dictionary_and_of_a_set_does_not_count(known: dict[Any, Any], rng: random.Random) -> None:
    keys = list(known)
    rng.shuffle(keys)
    assert fitted_digest({key: known[key] for key in keys}) == fitted_digest(known)
    assert fitted_digest(set(keys)) == fitted_digest(set(known))
    assert fitted_digest(OrderedDict(known)) != fitted_digest(known)  # another type


@given(
    hnp.arrays(st.sampled_from([np.float64, np.float32, np.int64, np.uint8]), hnp.array_shapes(max_dims=2)),
    st.data(),
)
@settings(deadline=None)
def test_any_element_dtype_and_shape_count(array: Any, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, array.size - 1))
    changed = array.copy()
    changed.reshape(-1).view(f"u{array.itemsize}")[place] ^= np.array(1 << data.draw(st.integers(0, 7))).astype(
        f"u{array.itemsize}"
    )
    before = fitted_digest([array])
    assert fitted_digest([changed]) != before
    assert fitted_digest([array.reshape(1, *array.shape)]) != before
    assert fitted_digest([array.view(f"u{array.itemsize}" if array.dtype.kind != "u" else "i1")]) != before
    assert fitted_digest([np.asfortranarray(array)]) == before


@given(st.lists(scalars, max_size=4), st.lists(scalars, max_size=4))
@settings(deadline=None)
def test_bounds_between_parts_are_kept(left: list[Any], right: list[Any]) -> None:
    assert fitted_digest([left, right]) != fitted_digest([[*left, *right]])
    assert (fitted_digest([left, right]) == fitted_digest([right, left])) == (
        fitted_digest(left) == fitted_digest(right)
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("1", 1),
        (b"a", "a"),
        ((1,), [1]),
        ({1}, frozenset({1})),
        (np.float64(1), 1.0),
        (np.float64(1), np.float32(1)),
        (np.array(["a"], object), np.array(["a"])),
        (np.array([1], object), np.array([1.0], object)),
        (np.float64, np.float32),
        (np.log1p, np.expm1),
        (len, sorted),
        ([].append, [1].append),
        (str.lower, str.upper),
        (functools.partial(np.mean, axis=0), functools.partial(np.mean, axis=1)),
        (slice(0, 2), slice(0, 3)),
        (Ridge(1.0), Ridge(2.0)),
        (sp.csr_array([[1, 0], [0, 2]]), sp.csc_array([[1, 0], [0, 2]])),
        (sp.csr_array([[1, 0], [0, 2]]), sp.csr_array([[1, 0], [0, 3]])),
        (np.ma.array([1, 2], mask=[False, True]), np.ma.array([1, 2], mask=[False, False])),
        (pd.Series([1, 2]), pd.Series([1, 3])),
        (pd.Series([1, 2]), pd.Series([1, 2], index=[1, 0])),
        (pd.Series(["a"], dtype="str"), pd.Series(["a"], dtype=object)),
        (pd.Series(["a"], dtype="category"), pd.Series(pd.Categorical(["a"], ["a", "b"]))),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
        (pd.array([1, None]), pd.array([1, 2])),
        (pd.Timestamp("2026-01-01"), pd.Timestamp("2026-01-02")),
        (np.dtype("f8"), np.dtype("f4")),
    ],
)
def test_what_differs_has_another_digest(one: Any, other: Any) -> None:
    assert fitted_digest(one) != fitted_digest(other)
    assert fitted_digest(one) == fitted_digest(deepcopy(one))
    assert fitted_digest(other) == fitted_digest(deepcopy(other))


def test_bytes_between_the_fields_of_a_structure_do_not_count() -> None:
    kind = np.dtype({"names": ["a", "b"], "formats": ["u1", "<f8"], "offsets": [0, 8], "itemsize": 16})
    one, other = np.zeros(3, kind), np.full(3 * 16, 255, np.uint8).view(kind)
    other["a"], other["b"] = 0, 0.0
    assert one.tobytes() != other.tobytes()
    assert fitted_digest(one) == fitted_digest(other)
    assert fitted_digest(one[0]) == fitted_digest(other[0])
    other["b"][1] = 1.0
    assert fitted_digest(one) != fitted_digest(other)


def test_what_lies_below_a_mask_does_not_count() -> None:
    one, other = np.ma.array([1.0, 2.0], mask=[False, True]), np.ma.array([1.0, 3.0], mask=[False, True])
    assert fitted_digest(one) == fitted_digest(other)


def test_circles_end() -> None:
    def ring(size: int) -> list[Any]:
        found: list[Any] = []
        found.append([found] if size == 1 else [[found]])
        return found

    assert fitted_digest(ring(1)) == fitted_digest(ring(1))
    assert fitted_digest(ring(1)) != fitted_digest(ring(2))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_refit_and_a_stored_model_have_the_same_digest(name: str, tmp_path: Path) -> None:
    model = clone(ESTIMATORS[name]).fit(X, Y)
    known = fitted_digest(model)
    assert fitted_digest(clone(ESTIMATORS[name]).fit(X, Y)) == known
    models.save(model, tmp_path / "model.skops")
    assert fitted_digest(models.load(tmp_path / "model.skops")) == known
    model.predict(X)
    assert fitted_digest(model) == known  # asking changes nothing


def arrays(model: Any) -> dict[str, Any]:
    """Arrays of a fitted model, by name, that a change is made in."""
    if isinstance(model, RandomForestClassifier):
        state = model.estimators_[2].tree_
        return {"threshold": state.threshold, "value": state.value, "children": state.children_left}
    if isinstance(model, HistGradientBoostingClassifier):
        grown = model._predictors[1][0]
        return {"nodes": grown.nodes["value"], "bins": model._bin_mapper.bin_thresholds_[3]}
    return {"coef": model.coef_, "intercept": model.intercept_, "classes": model.classes_}


@pytest.mark.parametrize("name", ["forest", "boosting", "logistic"])
@given(data=st.data())
@settings(deadline=None, max_examples=15)
def test_one_changed_element_is_another_model(name: str, data: st.DataObject) -> None:
    model = FITTED[name]
    known = fitted_digest(model)
    array = arrays(model)[data.draw(st.sampled_from(sorted(arrays(model))))]
    place = np.unravel_index(data.draw(st.integers(0, array.size - 1)), array.shape)
    kept = array[place]
    array[place] = np.nextafter(kept, np.inf) if array.dtype.kind == "f" else kept + 1
    try:
        assert fitted_digest(model) != known
    finally:
        array[place] = kept
    assert fitted_digest(model) == known


FITTED = {name: clone(one).fit(X, Y) for name, one in ESTIMATORS.items() if name != "search"}


@pytest.mark.parametrize("name", ["forest", "boosting", "logistic"])
def test_one_changed_parameter_is_another_model(name: str) -> None:
    known = fitted_digest(FITTED[name])
    for parameter, value in FITTED[name].get_params().items():
        changed = deepcopy(FITTED[name])
        setattr(changed, parameter, "another" if value != "another" else 0)
        assert (fitted_digest(changed) == known) == (parameter == "n_jobs"), parameter


def test_threads_generators_and_times_do_not_count() -> None:
    model = clone(ESTIMATORS["search"]).fit(X, Y)
    known = fitted_digest(model)
    model.refit_time_ += 1.0
    for name in ("mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time"):
        model.cv_results_[name] = model.cv_results_[name] + 1.0
    model.n_jobs = 2
    assert fitted_digest(model) == known
    model.cv_results_["mean_test_score"] = np.nextafter(model.cv_results_["mean_test_score"], 1.0)
    assert fitted_digest(model) != known
    boosted = deepcopy(FITTED["boosting"])
    boosted._feature_subsample_rng.random(3)
    boosted._bin_mapper.n_threads += 1
    assert fitted_digest(boosted) == fitted_digest(FITTED["boosting"])
    assert fitted_digest(np.random.RandomState(1)) == fitted_digest(np.random.RandomState(2))


def test_a_tree_of_neighbours_is_the_same_after_it_was_asked() -> None:
    model = KNeighborsClassifier(algorithm="kd_tree").fit(X, Y)
    known = fitted_digest(model)
    model.predict(X[:5])
    assert fitted_digest(model) == known
    assert fitted_digest(KDTree(X)) != fitted_digest(KDTree(X[::-1].copy()))


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (threading.Lock, "model.steps[1][0] is a _thread.lock"),
        (lambda: lambda x: x, "model.steps[1][0] is a builtins.function"),
        (lambda: (n for n in range(3)), "model.steps[1][0] is a builtins.generator"),
        (lambda: FunctionTransformer(lambda x: x), "model.steps[1][0].func is a builtins.function"),
    ],
)
def test_what_can_not_be_told_is_an_error_with_its_place(make: Callable[[], Any], where: str) -> None:
    model = Ridge()
    model.steps = [1, [make()]]
    with pytest.raises(FittedError) as caught:
        fitted_digest(model)
    assert str(caught.value).startswith(where)
    assert "never be shown to be rebuilt equal" in str(caught.value)


def test_digests_stay_what_they_are() -> None:
    """A stored model is compared with its digest years later: a change here makes every one of them differ."""
    known = {"a": [1, 2.5, None, "x"], "b": np.arange(3.0), "c": {True, "y"}, "d": np.array([("p", 1)], "U1,i4")}
    assert fitted_digest(known) == "b95264ddda7edc8d3d0acb7964d08d308e8a621e1f692acab1833226e8594c0e"
