"""TFDV's statistics of a dataset, computed here from Parquet, beside TFDV itself from CSV and from a data frame.

All are timed in turn in one process, without imports: here from the file on disk to the protobuf, in TFDV from its CSV
file to the protobuf, and from a frame that is in memory already. The data has 20 columns, half of them text of 2 to 300
categories, and is made anew in a temporary folder. With `--rounds`, medians; TFDV from CSV is timed once.

With `--scale`, folders of files with 1,000,000 rows each are read instead, each folder in a process of its own, which
tells its greatest memory. The files of a folder are five, linked again and again, so that the disk need hold no more.

    .venv/bin/hallmark env run data -- python benchmarks/profiling.py [--rows 1000000] [--rounds 5]
    .venv/bin/hallmark env run data -- python benchmarks/profiling.py --scale 5 50
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy
import pyarrow
import pyarrow.csv
import pyarrow.parquet

CATEGORIES = (3, 10, 25, 60, 100, 300, 12, 2, 50, 7)
FILES = 5
CODE = """
import resource, sys, time
from kfp_hallmark.profiles.statistics import compute_statistics
start = time.perf_counter()
found = compute_statistics(sys.argv[1])
taken = time.perf_counter() - start
used = time.process_time()
rows = found.datasets[0].num_examples
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(f"{rows:,} rows: {taken:.1f} s, of processors {used:.1f} s, {used / rows * 1e6:.2f} us a row, {memory:.2f} GiB")
"""


def make(path, rows, seed):
    """Write columns of numbers and text as Parquet."""
    random = numpy.random.default_rng(seed)
    draw = (
        lambda i: random.normal(i, 1 + i, rows),
        lambda i: random.lognormal(0, 1, rows),
        lambda i: random.standard_t(2, rows),
        lambda i: random.integers(0, 90, rows),
        lambda i: random.exponential(3, rows),
    )
    columns = {f"n{i}": draw[i % 5](i) for i in range(10)}
    for i, categories in enumerate(CATEGORIES):
        shares = numpy.arange(1, categories + 1) / numpy.arange(1, categories + 1).sum()
        words = pyarrow.array([f"value_{j}" for j in range(categories)])
        columns[f"c{i}"] = words.take(pyarrow.array(random.choice(categories, rows, p=shares)))
    pyarrow.parquet.write_table(pyarrow.table(columns), path, compression="zstd", row_group_size=131_072)


def timed(work):
    """Return the seconds that work takes, and those of processors, which a busy machine changes less."""
    start = time.perf_counter(), time.process_time()
    try:
        work()
    except RuntimeError as error:
        # Beam's last step wants a shared memory that can be written.
        print(f"ended early: {str(error).splitlines()[0]}")
    return time.perf_counter() - start[0], time.process_time() - start[1]


def tell(name, taken, here):
    """Print the seconds of something and of its processors, and how many times as long as here they are."""
    wall, processors = taken
    ratios = f"{wall / here[0]:8.2f} {processors / here[1]:8.2f}"
    print(f"{name:26} {wall:8.2f} s {processors:8.2f} s of processors {ratios}", flush=True)


def compare(folder, rows, rounds):
    """Print how long each way takes, and how many times as long as here."""
    import tensorflow_data_validation as tfdv

    from kfp_hallmark.profiles.profile import profile
    from kfp_hallmark.profiles.statistics import compute_statistics

    data, text = folder / "data.parquet", folder / "data.csv"
    make(data, rows, 1)
    table = pyarrow.parquet.read_table(data)
    pyarrow.csv.write_csv(table, text)
    frame = table.to_pandas()
    compute_statistics(data)
    ways = {
        "here, from Parquet": lambda: compute_statistics(data),
        "here, the profile": lambda: profile(data),
        "pyarrow reads Parquet": lambda: pyarrow.parquet.read_table(data),
        "TFDV, from a data frame": lambda: tfdv.generate_statistics_from_dataframe(frame, n_jobs=1),
    }
    taken = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            taken[name].append(timed(work))
    profile(data).write(folder / "profile.json")
    print(f"the profile has {(folder / 'profile.json').stat().st_size:,} bytes")
    here = numpy.median(taken["here, from Parquet"], axis=0)
    for name, each in taken.items():
        tell(name, numpy.median(each, axis=0), here)
    tell("TFDV, from CSV", timed(lambda: tfdv.generate_statistics_from_csv(str(text))), here)


def scale(folder, files):
    """Print what a folder of so many files takes."""
    for index in range(FILES):
        if not (folder / f"{index}.made").exists():
            make(folder / f"{index}.made", 1_000_000, index)
    dataset = folder / f"of_{files}"
    dataset.mkdir()
    for index in range(files):
        os.link(folder / f"{index % FILES}.made", dataset / f"{index:03}.parquet")
    subprocess.run([sys.executable, "-c", CODE, str(dataset)], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=int, nargs="+", metavar="FILES", help="Read folders of so many files.")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        for files in options.scale or []:
            scale(Path(name), files)
        if not options.scale:
            compare(Path(name), options.rows, options.rounds)


if __name__ == "__main__":
    main()
