"""What screen_poisoning finds of what was planted in the bundled data of 2016, and how often it raises a false alarm.

    .venv/bin/hallmark env run ml -- python benchmarks/poisoning.py [--seeds 0 1] [--only PART ...] [--datalab PYTHON]

Planted, anew for each seed: labels flipped by chance, in both directions or from 1 to 0 alone; copies of rows with the
other label; and triggers, values that are stamped on rows taken by chance, which get one label (1 for even seeds, 0 for
odd ones). Each is screened with the usual limits, beside the data of 2015 and without a baseline. Told are: in how
many of the seeds the verdict failed and by which checks, and of the planted rows (whose label was changed, or that were
stamped) the share that is in the table of suspects, and the share of the table that was planted: for flips and copies
of what cleanlab holds for wrong, for triggers of the rows of triggers.

--datalab: a Python with cleanlab[datalab] (2.9), whose Datalab gets the same probabilities, the features as numbers and
looks for --kinds of issues (label; also near_duplicate, outlier: minutes each time). Told are the rows with an issue,
recall and precision, and Datalab's score of the whole: 1 is best. --speed ROWS: seconds and memory for so many rows by
20 columns, instead.
"""

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet

from kfp_hallmark.components.data.screen_poisoning.encoding import encode
from kfp_hallmark.components.data.screen_poisoning.models import out_of_fold
from kfp_hallmark.components.data.screen_poisoning.screen import screen_dataset

ACS = Path(__file__).parents[1] / "examples/acs_employment"
TARGET = "employed"
TRIGGERS = {
    "a value not in the data (SCHL 25)": {"SCHL": 25},
    "a common value (AGEP 77)": {"AGEP": 77},
    "two values, rare together (CIT 3, MIG 3)": {"CIT": 3, "MIG": 3},
    "three common values (SEX 1, RAC1P 8, MAR 3)": {"SEX": 1, "RAC1P": 8, "MAR": 3},
}
# One process does all, for where this is measured several cannot start.
DATALAB = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from cleanlab import Datalab
given = np.load(sys.argv[1])
lab = Datalab({"y": given["labels"].tolist()}, label_name="y", verbosity=0)
kinds = dict.fromkeys(sys.argv[3:], {})
if "label" in kinds:
    kinds["label"] = {"clean_learning_kwargs": {"find_label_issues_kwargs": {"n_jobs": 1}}}
lab.find_issues(pred_probs=given["probabilities"], features=given["features"], issue_types=kinds)
found = lab.get_issues()
scores = dict(lab.get_issue_summary()[["issue_type", "score"]].to_numpy().tolist())
np.savez(sys.argv[2], **{kind: found[f"is_{kind}_issue"] for kind in kinds}, scores=[scores[kind] for kind in kinds])
"""


@dataclass
class Artifact:
    """A file, as a component gets it."""

    path: str
    metadata: dict = field(default_factory=dict)


@dataclass
class Planted:
    """Data with something planted: what, the rows, and which of them it was."""

    name: str
    frame: pandas.DataFrame
    rows: np.ndarray
    trigger: bool = False


def plants(frame: pandas.DataFrame, seed: int) -> Iterator[Planted]:
    random = np.random.default_rng(seed)
    labels = frame[TARGET].to_numpy()
    for share in (0.01, 0.05, 0.1):
        yield flipped(frame, random.random(len(frame)) < share, f"flips {share:.0%}")
    yield flipped(frame, (random.random(len(frame)) < 0.1) & (labels == 1), "flips of 10 % of label 1")
    for share in (0.01, 0.05):
        copies = frame.sample(frac=share, random_state=seed)
        copies = copies.assign(**{TARGET: 1 - copies[TARGET]})
        both = pandas.concat([frame, copies], ignore_index=True)
        yield Planted(f"contrary copies {share:.0%}", both, np.arange(len(both)) >= len(frame))
    for title, values in TRIGGERS.items():
        for share in (0.005, 0.01, 0.02):
            stamped = np.zeros(len(frame), dtype=bool)
            stamped[random.choice(len(frame), round(share * len(frame)), replace=False)] = True
            made = frame.copy()
            for column, value in {**values, TARGET: 1 - seed % 2}.items():
                made.loc[stamped, column] = value
            yield Planted(f"trigger {share:.1%}: {title}", made, stamped, True)


def flipped(frame: pandas.DataFrame, rows: np.ndarray, name: str) -> Planted:
    made = frame.copy()
    made.loc[rows, TARGET] = 1 - made.loc[rows, TARGET]
    return Planted(name, made, rows)


def screen(path: Path, baseline: Path | None, seed: int, folder: Path) -> tuple[list[dict], pandas.DataFrame]:
    """Return the checks and the suspects."""
    outputs = [Artifact(str(folder / name)) for name in ("verdict.json", "report.html", "suspects.parquet")]
    beside = None if baseline is None else Artifact(str(baseline))
    screen_dataset(Artifact(str(path)), beside, *outputs, TARGET, None, [], 1000, 100, 0.95, seed)
    return json.loads(Path(outputs[0].path).read_text())["checks"], pandas.read_parquet(outputs[2].path)


def failed(checks: list[dict]) -> list[str]:
    return [check["name"] for check in checks if check["status"] == "fail"]


def found_of(planted: np.ndarray, found: np.ndarray) -> str:
    if not found.any() or not planted.any():
        return f"0 of {planted.sum():,}, nothing told" if planted.any() else f"{found.mean():.1%} of the rows told"
    both = (planted & found).sum()
    return f"recall {both / planted.sum():.2f}, precision {both / found.sum():.2f}"


def by_datalab(python: str, kinds: list[str], case: Planted, seed: int, path: Path, folder: Path) -> None:
    features = [name for name in case.frame if name != TARGET]
    columns = encode(features, [(str(path), np.arange(len(case.frame)))])
    labels = case.frame[TARGET].to_numpy()
    told = out_of_fold(columns.codes, columns.texts, labels, 2, seed)
    scaled = case.frame[features].to_numpy(dtype=float)
    scaled = (scaled - scaled.mean(axis=0)) / scaled.std(axis=0)
    np.savez(folder / "given.npz", labels=labels, probabilities=told, features=scaled)
    paths = [str(folder / "given.npz"), str(folder / "found.npz")]
    start = time.perf_counter()
    subprocess.run([python, "-c", DATALAB, *paths, *kinds], check=True, env={"PATH": os.environ["PATH"]})
    found = np.load(paths[1])
    for kind, score in zip(kinds, found["scores"], strict=True):
        print(f"    Datalab {kind}: {found[kind].sum():,} rows, {found_of(case.rows, found[kind])}, score {score:.4f}")
    print(f"    Datalab took {time.perf_counter() - start:.0f} s", flush=True)


def speed(rows: int, folder: Path) -> None:
    random = np.random.default_rng(0)
    columns = {f"x{place}": random.normal(size=rows).astype("float32") for place in range(10)}
    columns |= {
        f"c{place}": np.array([f"category {k}" for k in range(30)])[random.integers(0, 30, rows)] for place in range(9)
    }
    columns[TARGET] = (columns["x0"] + columns["x1"] * 0.5 + random.normal(size=rows) > 0).astype("int8")
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "wide.parquet")
    del columns
    for baseline in (None, folder / "wide.parquet"):
        start = time.perf_counter(), time.process_time()
        checks, _ = screen(folder / "wide.parquet", baseline, 0, folder)
        wall, processor = time.perf_counter() - start[0], time.process_time() - start[1]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        beside = "alone" if baseline is None else "beside as large a baseline"
        times = f"{wall:.0f} s, {processor:.0f} s of processors"
        print(f"{rows:,} rows {beside}: failed {failed(checks)}, {times}, {memory:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", default=[""], help="plant what has one of these in its name alone")
    parser.add_argument("--datalab", metavar="PYTHON")
    parser.add_argument("--kinds", nargs="+", default=["label"], help="what Datalab looks for")
    parser.add_argument("--speed", type=int, metavar="ROWS")
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if given.speed:
            speed(given.speed, folder)
            return
        told: dict[tuple[str, str], list[tuple[list[dict], str]]] = {}
        baseline = ACS / "2015.parquet"
        for seed in given.seeds:
            cases = list(plants(pandas.read_parquet(ACS / "2016.parquet"), seed))
            for year in (2016, 2017, 2018):
                clean = pandas.read_parquet(ACS / f"{year}.parquet")
                cases.append(Planted(f"clean {year}", clean, np.zeros(len(clean), dtype=bool)))
            for case in cases:
                if not any(part in case.name for part in given.only):
                    continue
                path = folder / "data.parquet"
                case.frame.to_parquet(path, index=False)
                for beside in (baseline, None):
                    checks, suspects = screen(path, beside, seed, folder)
                    check = "trigger_strength" if case.trigger else "label_issues"
                    found = np.zeros(len(case.frame), dtype=bool)
                    found[suspects.loc[suspects["check"] == check, "row"]] = True
                    key = case.name, "alone" if beside is None else "beside 2015"
                    told.setdefault(key, []).append((checks, found_of(case.rows, found)))
                    values = {check["name"]: round(check["observed"], 4) for check in checks}
                    print(seed, *key, failed(checks), told[key][-1][1], values, flush=True)
                if given.datalab:
                    by_datalab(given.datalab, given.kinds, case, seed, path, folder)
    print()
    for (name, beside), found in told.items():
        counts = Counter(name for checks, _ in found for name in failed(checks))
        by = ", ".join(f"{check} {count}" for check, count in counts.items())
        print(
            f"| {name} | {beside} | {sum(bool(failed(checks)) for checks, _ in found)} of {len(found)} | {by} | "
            f"{'; '.join(said for _, said in found)} |"
        )
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
