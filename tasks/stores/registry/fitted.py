"""The identity of a fitted object: a digest over its types, parameters and arrays, and nothing that passes."""

from __future__ import annotations

import builtins
import copyreg
import hashlib
import random
import struct
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from tasks.errors import PerennialError

# Attributes that say how fast it is worked, or how long it took: not what was fitted.
_THREADS = frozenset({"n_jobs", "n_threads", "_n_threads", "num_threads", "nthread", "thread_count"})
_TIMES = frozenset({"refit_time_", "_init_prev_time", "_iter_prev_time", "start_time"})
# Versions of packages are compared by themselves; the warnings of a Bunch are lost when it is copied.
_IGNORED = _THREADS | _TIMES | {"_sklearn_version", "_deprecated_key_to_warnings"}
_TIMED = "cv_results_"
_RANDOM = (np.random.RandomState, np.random.Generator, np.random.BitGenerator, np.random.SeedSequence, random.Random)
_TREE_COUNTERS = slice(7, 11)  # how often a KDTree or BallTree was asked


class FittedError(PerennialError):
    """An object whose content can't be determined."""


def fitted_digest(model: Any) -> str:
    """SHA-256, in hexadecimal, over a fitted object's types, parameters and arrays (dtype, shape, bytes).

    Thread counts, random generators and measured times are left out. Structured arrays count field by field, as the
    bytes between fields are whatever memory held; dictionaries and sets count whatever their order.

    Raises:
        FittedError: it holds something whose content can't be determined, such as an open file or a lambda.
    """
    return _Walk().digest(model, "model").hex()


class _Walk:
    """One walk through an object; `_path` holds the objects that it is inside of, so that circles end."""

    def __init__(self) -> None:
        self._path: list[int] = []

    def digest(self, value: Any, where: str) -> bytes:
        plain = _plain(value)
        if plain is not None:
            return plain
        if id(value) in self._path:
            return _joined("circle", str(len(self._path) - self._path.index(id(value))).encode())
        self._path.append(id(value))
        try:
            return self._holder(value, where)
        finally:
            self._path.pop()

    def _holder(self, value: Any, where: str) -> bytes:
        kind = type(value)
        if kind in (list, tuple):
            return _joined(kind.__name__, *(self.digest(one, f"{where}[{i}]") for i, one in enumerate(value)))
        if kind in (set, frozenset):
            return _joined(kind.__name__, *sorted(self.digest(one, f"an element of {where}") for one in value))
        if kind is dict:
            return _joined("dict", *self._items(value.items(), where))
        if isinstance(value, type | FunctionType):
            return _joined("named", _name(value, where).encode())
        for known, content in _CONTENT:
            if isinstance(value, known):
                return _joined(_name(kind, where), self.digest(content(value), where))
        if isinstance(value, np.ndarray):
            return self._array(value, where)
        return self._object(value, where)

    def _items(self, items: Iterable[tuple[Any, Any]], where: str) -> list[bytes]:
        return sorted(self.digest(key, where) + self.digest(one, f"{where}[{key!r}]") for key, one in items)

    def _array(self, value: npt.NDArray[Any], where: str) -> bytes:
        fields = value.dtype.names
        about = [str(value.shape).encode(), b"fields" if fields else value.dtype.str.encode()]
        if type(value) not in (np.ndarray, np.memmap):
            about.append(_name(type(value), where).encode())
        if fields:
            content = [name.encode() + self._array(value[name], where) for name in fields]
        elif value.dtype.kind in "OT":
            content = [self.digest(one, f"{where}[{place}]") for place, one in enumerate(value.ravel().tolist())]
        else:
            content = [np.ascontiguousarray(value).tobytes()]
        return _joined("array", *about, *content)

    def _object(self, value: Any, where: str) -> bytes:
        """Anything else by what it says of itself to be copied."""
        try:
            reduce = copyreg.dispatch_table.get(type(value))
            reduced = reduce(value) if reduce else value.__reduce_ex__(4)
        except Exception as error:  # whatever the object's own code raises
            raise FittedError(_unsupported_message(value, where, str(error))) from None
        if isinstance(reduced, str):
            return _joined("global", f"{getattr(value, '__module__', None)}.{reduced}".encode())
        make, arguments, state, listed, named = (*reduced, None, None, None)[:5]
        if type(value).__module__.startswith("sklearn.neighbors.") and isinstance(state, tuple):
            state = (*state[: _TREE_COUNTERS.start], *state[_TREE_COUNTERS.stop :])
        return _joined(
            _name(type(value), where),
            self.digest(make, where),
            self.digest(arguments, where),
            self._state(state, where),
            *(self.digest(one, where) for one in listed or ()),
            *self._items(named or (), where),
        )

    def _state(self, state: Any, where: str) -> bytes:
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        if not all(one is None or type(one) is dict for one in parts):
            return self.digest(state, where)
        return _joined("state", *(self._attributes(one or {}, where) for one in parts))

    def _attributes(self, state: Mapping[str, Any], where: str) -> bytes:
        kept = {name: _untimed(name, one) for name, one in state.items() if name not in _IGNORED}
        content = (f"{name}=".encode() + self.digest(one, f"{where}.{name}") for name, one in kept.items())
        return _joined("attributes", *sorted(content))


def _untimed(name: str, value: Any) -> Any:
    if name == _TIMED and isinstance(value, dict):
        return {key: one for key, one in value.items() if not str(key).endswith("_time")}
    return value


def _plain(value: Any) -> bytes | None:
    """The digest of a value that holds no others; None for one that may."""
    kind = type(value)
    if value is None or kind in (bool, int, str, bytes, bytearray):
        content = value if isinstance(value, bytes | bytearray) else _text(value).encode("utf-8", "surrogatepass")
        return _joined(kind.__name__, bytes(content))
    if kind is float:
        return _joined("float", struct.pack("<d", value))
    if isinstance(value, np.generic) and not isinstance(value, np.object_) and value.dtype.names is None:
        return _joined("scalar", value.dtype.str.encode(), value.tobytes())
    if isinstance(value, np.dtype):
        return _joined("dtype", repr(value).encode())
    if isinstance(value, _RANDOM):
        return _joined("random generator")
    if isinstance(value, ModuleType):
        return _joined("module", value.__name__.encode())
    return None


def _text(value: bool | int | str | None) -> str:
    return hex(value) if type(value) is int else str(value)  # decimal digits end at some thousands


def _name(value: Any, where: str) -> str:
    """The qualified name of a class or function.

    Raises:
        FittedError: it has none by which another process would find it.
    """
    name = f"{getattr(value, '__module__', None) or builtins.__name__}.{getattr(value, '__qualname__', '<unnamed>')}"
    if "<" in name:
        raise FittedError(_unsupported_message(value, where, "it has no name by which another process would find it"))
    return name


def _unsupported_message(value: Any, where: str, why: str) -> str:
    kind = type(value)
    return (
        f"{where} is a {kind.__module__}.{kind.__qualname__}, whose content is unknown ({why}): the model could "
        "never be shown to be rebuilt equal. Expected numbers, texts, arrays, and objects that can be pickled; use an "
        "estimator that keeps no such thing."
    )


def _frame(value: pd.DataFrame) -> Any:
    return [value.columns, value.index, [value.iloc[:, place] for place in range(value.shape[1])], dict(value.attrs)]


def _series(value: pd.Series[Any]) -> Any:
    return [str(value.dtype), value.name, value.index, _elements(value), dict(value.attrs)]


def _index(value: pd.Index[Any]) -> Any:
    if isinstance(value, pd.MultiIndex):
        return [list(value.names), *(value.get_level_values(place) for place in range(value.nlevels))]
    return [str(value.dtype), value.name, _elements(value)]


def _elements(value: Any) -> Any:
    if isinstance(value.dtype, pd.CategoricalDtype):
        found = pd.Categorical(value)
        return [found.codes, found.categories, found.ordered]
    return value.to_numpy() if isinstance(value.dtype, np.dtype) else value.to_numpy(dtype=object)


def _extension(value: Any) -> Any:
    return [str(value.dtype), _elements(pd.Series(value))]


def _sparse(value: Any) -> Any:
    """What is stored, in the order in which it is stored; not what was noted about it since."""
    found = value.tocoo()
    return [value.format, tuple(value.shape), found.data, *found.coords]


def _masked(value: Any) -> Any:
    """What is masked counts as masked, whatever lies below."""
    mask = np.ma.getmaskarray(value)
    shown = np.asarray(value.data).copy()
    shown[mask] = np.zeros((), shown.dtype)
    return [shown, mask]


_CONTENT: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (np.ma.MaskedArray, _masked),
    (np.void, np.asarray),
    (memoryview, np.asarray),
    (pd.DataFrame, _frame),
    (pd.Series, _series),
    (pd.Index, _index),
    (pd.api.extensions.ExtensionArray, _extension),
    ((sp.spmatrix, sp.sparray), _sparse),
)


def _joined(kind: str, *parts: bytes) -> bytes:
    """The digest of parts whose bounds are kept apart."""
    found = hashlib.sha256(kind.encode())
    for part in parts:
        found.update(b"|%d|" % len(part))
        found.update(part)
    return found.digest()
