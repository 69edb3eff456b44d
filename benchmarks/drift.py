"""Drift of a dataset from a kept profile: how fast, how sure, and how often by mistake, beside other tools.

    .venv/bin/hallmark env run data -- python benchmarks/drift.py speed [--peers NAME=PYTHON ...]
    .venv/bin/hallmark env run data -- python benchmarks/drift.py power [--peers NAME=PYTHON ...]
    .venv/bin/hallmark env run data -- python benchmarks/drift.py alarms|split [--resamples 200]

speed: all measures of 1,000,000 rows by 20 columns, as `profiling.py` makes them, against the kept profile of others,
from disk, beside pyarrow's read of them and each peer's drift of both frames, read first; then of columns in memory,
beside a peer's frames in memory; in seconds, and in seconds of processors, which a busy machine changes less. power:
over 25 repeats of 20,000 rows, the share of pairs in which a sample of x * 1.1 + 0.15 scores higher than one of x, 0.5
by chance; and how often a column of 300 categories drifts without having moved. alarms: resamples of the bundled data
of 2016 against 2016 by the whole gate, and 2016 to 2018 against 2015. split: as many pairs of random halves of 2016 by
all columns together.

A peer is `evidently` (0.7, with whylogs and IPython in the same environment for `power`) or `nannyml`, with the Python
that it is installed in.
"""

import argparse
import json
import os
import runpy
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet

from kfp_hallmark.components.data.validate_dataset.comparison import Comparing, Limits, Move
from kfp_hallmark.components.data.validate_dataset.inputs import Inputs, Settings
from kfp_hallmark.components.data.validate_dataset.joint import LEARNT, separate
from kfp_hallmark.components.data.validate_dataset.validate import judge
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.profiles.drift import drift
from kfp_hallmark.profiles.profile import Profile, column, profile
from kfp_hallmark.profiles.scan import count_columns, scan
from kfp_hallmark.profiles.tally import NumberTally, TextTally


@dataclass
class Side:
    """A dataset, as a component gets it."""

    path: str
    metadata: dict = field(default_factory=dict)


ACS = Path(__file__).parents[1] / "examples/acs_employment"
ROWS, REPEATS, LEVELS = 20_000, 25, 300
DISTRIBUTIONS: dict[str, Callable] = {
    "normal": lambda random: random.normal(size=ROWS),
    "lognormal": lambda random: random.lognormal(size=ROWS),
    "t, 2 degrees": lambda random: random.standard_t(2, ROWS),
}
SPEED = {
    "evidently": """
import sys, time, pandas
from evidently import Report
from evidently.presets import DataDriftPreset
begin = time.perf_counter(), time.process_time()
before, now = (pandas.read_parquet(path) for path in sys.argv[1:])
start = time.perf_counter(), time.process_time()
Report([DataDriftPreset()]).run(now, before)
end = time.perf_counter(), time.process_time()
print(*(last - first for origin in (start, begin) for last, first in zip(end, origin)))
""",
}
NANNYML = """
import sys, time, pandas, nannyml
begin = time.perf_counter(), time.process_time()
before, now = (pandas.read_parquet(path) for path in sys.argv[1:])
start = time.perf_counter(), time.process_time()
drift = nannyml.UnivariateDriftCalculator(column_names=list(before), chunk_number=1, {methods})
drift.fit(before)
drift.calculate(now)
end = time.perf_counter(), time.process_time()
print(*(last - first for origin in (start, begin) for last, first in zip(end, origin)))
"""
METHODS = {
    "Kolmogorov-Smirnov and chi-squared": (["kolmogorov_smirnov"], ["chi2"]),
    "the same with Jensen-Shannon, Wasserstein and L-infinity": (
        ["kolmogorov_smirnov", "jensen_shannon", "wasserstein"],
        ["chi2", "jensen_shannon", "l_infinity"],
    ),
}
for methods, (numbers, texts) in METHODS.items():
    given = f"continuous_methods={numbers}, categorical_methods={texts}"
    SPEED[f"nannyml, {methods}"] = NANNYML.format(methods=given)
POWER = """
import json, sys, numpy, pandas, whylogs
from evidently.legacy.calculations.stattests import psi_stat_test
from evidently.legacy.core import ColumnType
from whylogs.viz.drift.column_drift_algorithms import ChiSquare
samples = numpy.load(sys.argv[1])
found = {}
for name in sorted({key.rsplit("|", 1)[0] for key in samples}):
    before, now = (pandas.Series(samples[name + end]) for end in ("|before", "|now"))
    if name.startswith("categories"):
        before, now = before.astype(str), now.astype(str)
        views = [whylogs.log(pandas.DataFrame({"x": side})).view().get_column("x") for side in (now, before)]
        found[name] = float(ChiSquare().calculate(*views, with_thresholds=False).pvalue)
    else:
        found[name] = float(psi_stat_test(before, now, ColumnType.Numerical, 0.1).drift_score)
print(json.dumps(found))
"""


def run(python: str, code: str, *arguments: str) -> str:
    """Return the last line that code prints in another Python."""
    environment = os.environ | {"NML_DISABLE_USAGE_LOGGING": "1", "PYTHONWARNINGS": "ignore"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run([python, "-c", code, *arguments], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip().splitlines()[-1]


def timed(work: Callable[[], object]) -> numpy.ndarray:
    """Return the seconds that work took, and those of all processors, which a busy machine changes less."""
    start = time.perf_counter(), time.process_time()
    work()
    return numpy.array([time.perf_counter() - start[0], time.process_time() - start[1]])


def against(kept: Path, path: Path) -> list:
    baseline = Profile.read(kept)
    return [drift(name, baseline.columns[name], counted) for name, _, counted in scan(path)]


def in_memory(kept: Path, table: pyarrow.Table, types: dict[str, pyarrow.DataType]) -> list:
    baseline = Profile.read(kept)
    counted = count_columns(table.to_batches(), table.column_names, types)
    return [drift(name, baseline.columns[name], found) for name, found in zip(types, counted, strict=True)]


def speed(peers: dict[str, str], rounds: int) -> None:
    make = runpy.run_path(str(Path(__file__).with_name("profiling.py")))["make"]
    with tempfile.TemporaryDirectory() as folder:
        kept, before, now = (Path(folder) / name for name in ("profile.json", "before.parquet", "now.parquet"))
        make(before, 1_000_000, 1)
        make(now, 1_000_000, 2)
        profile(before).write(kept)
        against(kept, now)
        types = {field.name: field.type for field in pyarrow.parquet.read_schema(now)}
        text = [name for name, kind in types.items() if pyarrow.types.is_string(kind)]
        table = pyarrow.parquet.read_table(now, read_dictionary=text)
        ours: dict[str, list[numpy.ndarray]] = {"from disk": [], "from memory": []}
        times: dict[str, list[numpy.ndarray]] = {"pyarrow's read": [], "profile": []}
        for _ in range(rounds):
            times["pyarrow's read"].append(timed(lambda: pyarrow.parquet.read_table(now)))
            times["profile"].append(timed(lambda: profile(before)))
            ours["from disk"].append(timed(lambda: against(kept, now)))
            ours["from memory"].append(timed(lambda: in_memory(kept, table, types)))
        for name, code in SPEED.items():
            python = peers.get(name.partition(",")[0])
            for _ in range(rounds if python else 0):
                found = numpy.array(run(python, code, str(before), str(now)).split(), dtype=float)
                times.setdefault(f"{name}, from memory", []).append(found[:2])
                times.setdefault(f"{name}, from disk", []).append(found[2:])
                ours["from disk"].append(timed(lambda: against(kept, now)))
                ours["from memory"].append(timed(lambda: in_memory(kept, table, types)))
        print(f"profile: {kept.stat().st_size / 1000:.1f} kB")
    for name, each in (ours | times).items():
        wall, processor = numpy.median(each, axis=0)
        own = numpy.median(ours["from memory" if name.endswith("from memory") else "from disk"], axis=0)
        ratios = f"{wall / own[0]:.1f} and {processor / own[1]:.1f} times as long"
        print(f"{name}: {wall:.3f} s, {processor:.3f} s of processors; {ratios}", flush=True)


def moved(before: numpy.ndarray, now: numpy.ndarray):
    sides = []
    for values in (before, now):
        array = pyarrow.array(values)
        tally = TextTally() if pyarrow.types.is_string(array.type) else NumberTally()
        tally.add(array)
        sides.append(tally.finish())
    return drift("x", column(array.type, sides[0]), sides[1])


def tfdv_jensen_shannon(before: numpy.ndarray, now: numpy.ndarray) -> float:
    import pandas
    import tensorflow_data_validation as tfdv

    first, second = (tfdv.generate_statistics_from_dataframe(pandas.DataFrame({"x": side})) for side in (before, now))
    schema = tfdv.infer_schema(first)
    schema.feature[0].drift_comparator.jensen_shannon_divergence.threshold = 0
    found = tfdv.validate_statistics(second, schema, previous_statistics=first)
    return found.drift_skew_info[0].drift_measurements[0].value


def samples() -> dict[str, numpy.ndarray]:
    """Return pairs of samples by name: of each distribution with and without drift, and categories without."""
    random = numpy.random.default_rng(7)
    made = {}
    for repeat in range(REPEATS):
        for name, draw in DISTRIBUTIONS.items():
            for kind, move in (("none", lambda x: x), ("moved", lambda x: x * 1.1 + 0.15)):
                made[f"{name}|{kind}|{repeat}|before"] = draw(random)
                made[f"{name}|{kind}|{repeat}|now"] = move(draw(random))
        for side in ("before", "now"):
            made[f"categories|none|{repeat}|{side}"] = random.integers(0, LEVELS, ROWS)
    return made


def higher(scores: dict[str, float], name: str) -> float:
    """Return in what share of pairs the sample with drift scores higher."""
    none, drifted = (
        numpy.array([scores[f"{name}|{kind}|{repeat}"] for repeat in range(REPEATS)]) for kind in ("none", "moved")
    )
    above = drifted[:, None] - none
    return float((above > 0).mean() + (above == 0).mean() / 2)


def power(peers: dict[str, str]) -> None:
    made = samples()
    found = {}
    for name in sorted({key.rsplit("|", 1)[0] for key in made}):
        before, now = made[f"{name}|before"], made[f"{name}|now"]
        if name.startswith("categories"):
            before, now = before.astype(str), now.astype(str)
        found[name] = moved(before, now)
    numbers = {name: each for name, each in found.items() if not name.startswith("categories")}
    scores = {
        "PSI": {name: each.psi for name, each in numbers.items()},
        "Kolmogorov-Smirnov": {name: each.kolmogorov_smirnov for name, each in numbers.items()},
        "Jensen-Shannon": {name: each.jensen_shannon for name, each in numbers.items()},
        "Wasserstein": {name: each.wasserstein for name, each in numbers.items()},
        "TFDV Jensen-Shannon": {
            name: tfdv_jensen_shannon(made[f"{name}|before"], made[f"{name}|now"]) for name in numbers
        },
    }
    categories = {"hallmark": [found[f"categories|none|{repeat}"].p_value for repeat in range(REPEATS)]}
    if "evidently" in peers:
        with tempfile.TemporaryDirectory() as folder:
            numpy.savez(f"{folder}/samples.npz", **made)
            peer = json.loads(run(peers["evidently"], POWER, f"{folder}/samples.npz"))
        scores["Evidently PSI"] = {name: peer[name] for name in numbers}
        categories["whylogs"] = [peer[f"categories|none|{repeat}"] for repeat in range(REPEATS)]
    for measure, values in scores.items():
        print(measure, *(f"{name}: {higher(values, name):.2f}" for name in DISTRIBUTIONS), sep=", ")
    for tool, p_values in categories.items():
        below = sum(value < 0.05 for value in p_values)
        print(f"{LEVELS} categories without drift, {tool}: p < 0.05 in {below} of {REPEATS}, least {min(p_values):.2g}")


def compared(before: Profile, path: Path) -> Sequence[Move]:
    comparing = Comparing("baseline", before, list(before.columns))
    for name, _, counted in scan(path):
        comparing.add(name, counted, 0.1)
    return comparing.finish(before, Limits(0.1, 0.25), enough=True).moves


def alarms(resamples: int) -> None:
    table = pyarrow.parquet.read_table(ACS / "2016.parquet")
    random = numpy.random.default_rng(11)
    settings = Settings.read(None, 0.1, 0.25, [], 0.65, 1000, 0)
    with tempfile.TemporaryDirectory() as folder:
        before, now = Side(f"{folder}/before"), Side(f"{folder}/now")
        pyarrow.parquet.write_table(table, before.path)
        for rows in (1000, 10_000, table.num_rows):
            runs, told = 0, Counter[str]()
            for _ in range(resamples):
                taken = pyarrow.array(random.integers(0, table.num_rows, rows))
                pyarrow.parquet.write_table(table.take(taken), now.path)
                verdict = judge(Inputs(now, before, *[None] * 5), settings)[0].verdict
                runs += verdict.status is not Status.PASS
                told.update(check.name for check in verdict.checks if check.status is not Status.PASS)
            print(f"{rows:,} rows: {runs} of {resamples} resamples raise an alarm {dict(told)}", flush=True)
    former = profile(ACS / "2015.parquet")
    for year in (2016, 2017, 2018):
        worst = compared(former, ACS / f"{year}.parquet")[0]
        sides = [Side(str(ACS / f"{each}.parquet")) for each in (2015, year)]
        area = separate("baseline", *sides, table.column_names, 1.0, 0).area
        print(f"{year} against 2015: worst {worst.drift.feature}, PSI {worst.drift.psi:.4f}; AUC {area:.3f}")


def split(pairs: int) -> None:
    table = pyarrow.parquet.read_table(ACS / "2016.parquet")
    halves = []
    for seed in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            order = numpy.random.default_rng(seed).permutation(table.num_rows)
            sides = [Side(str(Path(folder) / name)) for name in ("one", "other")]
            for side, rows in zip(sides, numpy.array_split(order, 2), strict=True):
                pyarrow.parquet.write_table(table.take(pyarrow.array(rows)), side.path)
            halves.append(separate("baseline", *sides, table.column_names, 1.0, seed))
    away = [abs(half.area - 0.5) / (half.interval[1] - half.area) for half in halves]
    told, plain = (sum(share > limit for share in away) for limit in (1, LEARNT**-0.5))
    greatest = max(half.area for half in halves)
    print(f"two halves: the interval of the AUC misses 0.5 in {told} of {len(halves)}, greatest {greatest:.3f}")
    print(f"with DeLong's variance as it is, in {plain}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "power", "alarms", "split"])
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--resamples", type=int, default=200)
    arguments = parser.parse_args()
    peers = dict(peer.split("=", 1) for peer in arguments.peers)
    print(f"load average {os.getloadavg()[0]:.1f}")
    if arguments.what == "speed":
        speed(peers, arguments.rounds)
    elif arguments.what == "power":
        power(peers)
    elif arguments.what == "alarms":
        alarms(arguments.resamples)
    else:
        split(arguments.resamples)


if __name__ == "__main__":
    main()
