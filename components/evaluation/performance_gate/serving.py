"""Measure a model in the form in which it is served: how fast it answers, how large it is, and what answers cost.

A request goes the way that the server gives it, from the bytes of a body to the bytes of the answer, without the
network: parsed, held against the signature, predicted by the predictor that serves, and written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.options import read_options
from kfp_hallmark.contracts.verdict import Check, Status, judge
from kfp_hallmark.errors import InputError
from kfp_hallmark.measures import Interval, judge_interval, quantile_interval
from kfp_hallmark.reports import number

if TYPE_CHECKING:
    from numpy import ndarray

    from kfp_hallmark.serving.predictor import Predictor

REQUESTS = 1000
"""How many requests are timed."""
DIFFERENT = 200
"""How many different rows they ask; each is asked once before, untimed."""
SECONDS = 30.0
"""After how long no more are timed; what is slower has fewer requests behind it."""
BATCHES = 20
"""Into how many runs of requests the times are put for the interval of their mean, for neighbours are alike."""


@dataclass(frozen=True)
class ServingLimits:
    """Limits on the model as it is served; None sets none.

    Attributes:
        max_median_latency_ms: Milliseconds within which half of the requests of one row are answered.
        max_p99_latency_ms: Milliseconds within which 99 % are.
        max_model_megabytes: Size of the model's files, in 10^6 bytes.
        max_cost_per_million_rows: Cost of predicting a million rows, one a request, on a process that is always busy.
        price_per_hour: What an hour of such a process costs, in the same currency.
    """

    max_median_latency_ms: float | None = None
    max_p99_latency_ms: float | None = None
    max_model_megabytes: float | None = None
    max_cost_per_million_rows: float | None = None
    price_per_hour: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"serving_limits[{name!r}] must be a finite number above 0; got {value}.")
        if (self.max_cost_per_million_rows is None) is not (self.price_per_hour is None):
            raise InputError("serving_limits must hold max_cost_per_million_rows and price_per_hour together; got one.")

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> ServingLimits | None:
        """Return the limits, or None when none is given.

        Raises:
            InputError: If one is unknown or cannot be used.
        """
        return read_options(cls, options, "serving_limits") if options else None


@dataclass(frozen=True)
class Served:
    """What was measured of a model as it is served.

    Attributes:
        size: Bytes of its files.
        seconds: How long each request took, shape (requests,); empty when it cannot be served.
        refused: How many of the different rows it refused.
        reason: Why it cannot be served, or None.
    """

    size: int
    seconds: ndarray
    refused: int = 0
    reason: str | None = None


def measure_serving(path: str | Path, digest: str, dataset: str | Path, seed: int) -> Served:
    """Load a model as the server does and time its answers to rows of a dataset.

    Raises:
        MissingInputError: If there is no such model.
        IntegrityError: If it has not the digest; then nothing in it is loaded.
        InputError: If it cannot be loaded.
    """
    import numpy as np

    from kfp_hallmark.modeling.loading import load_model
    from kfp_hallmark.serving.predictor import Predictor

    model = load_model(path, digest)
    size = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
    try:
        predictor = Predictor(model)
        bodies = _bodies(predictor, dataset, seed)
    except InputError as error:
        return Served(size, np.empty(0), reason=error.message)
    refusals = [_refusal(predictor, body) for body in bodies]
    taken = [body for body, refusal in zip(bodies, refusals, strict=True) if refusal is None]
    if not taken:
        return Served(size, np.empty(0), len(bodies), f"It refuses every row. Of the first: {refusals[0]}")
    return Served(size, _time(predictor, taken), len(bodies) - len(taken))


def serving_checks(served: Served, limits: ServingLimits, confidence: float) -> list[Check]:
    """Hold what was measured against the limits."""
    checks = []
    if limits.max_median_latency_ms is not None:
        found = _quantile(served, 0.5, confidence)
        checks.append(_timed("median_latency_ms", limits.max_median_latency_ms, *found, served, confidence))
    if limits.max_p99_latency_ms is not None:
        found = _quantile(served, 0.99, confidence)
        checks.append(_timed("p99_latency_ms", limits.max_p99_latency_ms, *found, served, confidence))
    if limits.max_cost_per_million_rows is not None:
        assert limits.price_per_hour is not None
        found = _cost(served, limits.price_per_hour, confidence)
        checks.append(_timed("cost_per_million_rows", limits.max_cost_per_million_rows, *found, served, confidence))
    if limits.max_model_megabytes is not None:
        checks.append(_size(served.size / 1e6, limits.max_model_megabytes))
    return checks


def _bodies(predictor: Predictor, dataset: str | Path, seed: int) -> list[bytes]:
    """Return requests of one row each, from rows of a dataset."""
    import numpy as np

    from kfp_hallmark.contracts.dataset import read_schema, read_table
    from kfp_hallmark.serving.bodies import as_json

    known = read_schema(dataset).names
    names = [column.name for column in predictor.model.columns if column.required or column.name in known]
    table = read_table(dataset, names)
    rows = np.random.default_rng(seed).permutation(table.num_rows)[:DIFFERENT]
    return [json.dumps({"instances": [as_json(row)]}).encode() for row in table.take(rows).to_pylist()]


def _answer(predictor: Predictor, body: bytes) -> bytes:
    from kfp_hallmark.serving.bodies import parse
    from kfp_hallmark.serving.protocols import Identity, Instances

    dialect = Instances()
    query = dialect.read(parse(body), predictor)
    return dialect.write(predictor.predict(query.values), query, Identity("model", "1"))


def _refusal(predictor: Predictor, body: bytes) -> str | None:
    """Return why a request is not answered, without a value of it; None when it is."""
    from kfp_hallmark.modeling.prediction import origin
    from kfp_hallmark.serving.bodies import parse
    from kfp_hallmark.serving.protocols import Instances

    try:
        query = Instances().read(parse(body), predictor)
    except InputError:
        return "Its values do not suit the signature."
    try:
        predictor.predict(query.values)
    except InputError as error:
        return error.message
    except Exception as error:
        return f"The model must be able to predict it; it fails with {type(error).__name__} {origin(error)}."
    return None


def _time(predictor: Predictor, bodies: list[bytes]) -> ndarray:
    import numpy as np

    seconds: list[float] = []
    start = perf_counter()
    while len(seconds) < REQUESTS and perf_counter() - start < SECONDS:
        body, before = bodies[len(seconds) % len(bodies)], perf_counter()
        _answer(predictor, body)
        seconds.append(perf_counter() - before)
    return np.array(seconds)


def _quantile(served: Served, share: float, confidence: float) -> tuple[float | None, Interval | None]:
    import numpy as np

    if not len(served.seconds):
        return None, None
    times = served.seconds * 1000
    return float(np.quantile(times, share)), quantile_interval(times, share, confidence)


def _cost(served: Served, price: float, confidence: float) -> tuple[float | None, Interval | None]:
    import numpy as np
    from scipy.special import stdtrit

    if not len(served.seconds):
        return None, None
    costs = served.seconds * price / 3600 * 1e6
    mean = float(costs.mean())
    if len(costs) < 2 * BATCHES:
        return mean, None
    means = [float(batch.mean()) for batch in np.array_split(costs, BATCHES)]
    reach = float(stdtrit(BATCHES - 1, (1 + confidence) / 2)) * float(np.std(means, ddof=1)) / math.sqrt(BATCHES)
    return mean, (mean - reach, mean + reach)


def _timed(
    name: str, limit: float, observed: float | None, interval: Interval | None, served: Served, confidence: float
) -> Check:
    status = judge_interval(observed, interval, maximum=limit)
    words = WORDS[name]
    if observed is None:
        message = f"The {words} cannot be measured, for the model cannot be served: {served.reason}"
    else:
        said = {
            Status.PASS: f"at most {number(limit)}, as is its whole interval.",
            Status.WARN: f"at most {number(limit)}, but its interval reaches beyond the limit.",
            Status.INCONCLUSIVE: f"at most {number(limit)}, but of too few requests to say how sure that is.",
            Status.FAIL: f"above the limit of {number(limit)}.",
        }[status]
        message = f"The {words} is {number(observed, 3)}, {said}"
    return Check(
        name,
        status,
        observed=observed,
        maximum=limit,
        interval=interval,
        confidence=confidence if interval else None,
        samples=len(served.seconds),
        message=message,
    )


WORDS = {
    "median_latency_ms": "median latency in milliseconds",
    "p99_latency_ms": "99th percentile of the latency in milliseconds",
    "cost_per_million_rows": "cost of a million rows",
    "model_megabytes": "size of the model in megabytes",
}
"""What the checks measure, in words."""


def _size(megabytes: float, limit: float) -> Check:
    status = judge(megabytes, maximum=limit)
    side = "at most" if status is Status.PASS else "above the limit of"
    message = f"The {WORDS['model_megabytes']} is {number(megabytes, 3)}, {side} {number(limit)}."
    return Check("model_megabytes", status, observed=megabytes, maximum=limit, message=message)
