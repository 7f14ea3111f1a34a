"""The data sets a dropped network is trained on; all ship with scikit-learn or are computed, nothing is downloaded.

``digits``: 1797 images of 8 x 8 pixels, 10 classes. ``diabetes``: 442 patients, 10 measurements, one real target.
``friedman``: 4000 rows of Friedman's first benchmark, 10 features of which 5 matter, unit noise, one real target
(Friedman 1991, doi:10.1214/aos/1176347963).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from sklearn import datasets

from reknit.errors import UsageError

FRIEDMAN_ROWS = 4000
RawTable = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Dataset:
    """One table to learn from.

    Attributes:
        name: a name in ``DATASETS``.
        features: each column with mean 0 and variance 1 (a constant column: 0).
        truth: the class index (int64), or the target with mean 0 and variance 1 (float32).
        outputs: the number of classes; 1 for a regression.
        mean: what was subtracted from each raw feature, in its units.
        scale: what each raw feature was then divided by, in its units.
    """

    name: str
    features: Float[np.ndarray, "rows features"]
    truth: Shaped[np.ndarray, " rows"]
    outputs: int
    mean: Float[np.ndarray, " features"]
    scale: Float[np.ndarray, " features"]

    @property
    def classification(self) -> bool:
        """Whether ``truth`` is a class index."""
        return self.outputs > 1


def _digits() -> RawTable:
    features, target = datasets.load_digits(return_X_y=True)
    return features, target


def _diabetes() -> RawTable:
    features, target = datasets.load_diabetes(return_X_y=True)
    return features, target


def _friedman() -> RawTable:
    # one fixed table: the seed of a drop chooses the network, not the problem
    features, target = datasets.make_friedman1(n_samples=FRIEDMAN_ROWS, n_features=10, noise=1.0, random_state=0)
    return features, target


# name -> (raw features and target, number of classes or 1)
DATASETS: dict[str, tuple[Callable[[], RawTable], int]] = {
    "digits": (_digits, 10),
    "diabetes": (_diabetes, 1),
    "friedman": (_friedman, 1),
}


def load_dataset(name: str) -> Dataset:
    """Read a data set by name and standardise it.

    Raises:
        UsageError: there is no such data set; the choices are listed.
    """
    if name not in DATASETS:
        raise UsageError(f"there is no data set {name!r}", "--data", f"Choose one of {', '.join(DATASETS)}")
    read, outputs = DATASETS[name]
    raw, target = read()
    raw = np.asarray(raw, np.float64)
    mean, scale = raw.mean(0), raw.std(0)
    scale[scale == 0] = 1.0  # some pixels of the digits are never touched
    truth = np.asarray(target, np.int64) if outputs > 1 else _standardised(np.asarray(target, np.float64))
    return Dataset(name, (raw - mean) / scale, truth, outputs, mean, scale)


def _standardised(target: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    return np.asarray((target - target.mean()) / target.std(), np.float32)


def projection(features: int, width: int, rng: np.random.Generator) -> Float[np.ndarray, "features width"]:
    """A random map of features to the stream that keeps the mean square of an entry at 1.

    A multiple of a matrix with orthonormal rows (``features <= width``: no information is lost) or columns.

    >>> P = projection(3, 5, np.random.default_rng(0))
    >>> bool(np.allclose(P @ P.T, np.eye(3) * 5 / 3))
    True
    """
    tall = rng.standard_normal((max(features, width), min(features, width)))
    q, r = np.linalg.qr(tall)
    # the signs of the diagonal of R are free; fixing them makes Q uniform over the orthonormal frames
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    frame: np.ndarray = q if features >= width else q.T * np.sqrt(width / features)
    return frame
