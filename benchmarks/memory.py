"""The most memory that any step takes on 1,000,000 rows by 20 columns, half of them text categories.

The data is written as CSV with missing values and a boolean label, and `hallmark run governed_training` runs on it.
With `--text`, all but the label are text, with 100 categories each, some frequent and most rare.

    .venv/bin/python benchmarks/memory.py [--rows 1000000] [--text]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CODE = """
import sys
import numpy, pandas
rows, path, all_text = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "True"
random = numpy.random.default_rng(7)
if all_text:
    table, score = {}, -2.3
    for i in range(19):
        words = numpy.array([f"category {j} of {i}" for j in range(100)])
        codes = (100 * random.random(rows) ** 3).astype(int)
        table[f"text {i}"] = words[codes]
        score = score + (codes < 10) * (i < 5)
else:
    table = {f"number {i}": random.normal(size=rows) for i in range(9)}
    for i in range(10):
        words = numpy.array([f"category {j} of {i}" for j in range(5 + 10 * i)])
        table[f"text {i}"] = words[random.integers(0, len(words), rows)]
    score = table["number 0"] - table["number 1"] + (table["text 0"] == "category 1 of 0")
score = score + random.normal(size=rows)
frame = pandas.DataFrame(table)
for name in (list(table)[2], "text 3"):
    frame.loc[random.random(rows) < 0.05, name] = None
frame["label"] = score > 0
frame.to_csv(path, index=False)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--text", action="store_true")
    options = parser.parse_args()
    rows = options.rows
    hallmark = Path(sys.executable).parent / "hallmark"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data.csv"
        make = ["python", "-c", CODE, str(rows), str(data), str(options.text)]
        subprocess.run([hallmark, "env", "run", "ml", "--", *make], check=True)
        settings = {
            "data_uri": data,
            "target": "label",
            "model_name": "memory",
            "sensitive_features": "['text 0']",
            "performance_limits": "{min_roc_auc: 0.6}",
            "fairness_limits": "{max_demographic_parity_difference: 0.9}",
        }
        command = [str(hallmark), "run", "governed_training", "--fresh", "--output", str(folder / "run")]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        began = time.monotonic()
        process = subprocess.Popen(command, env=os.environ | {"HALLMARK_HOME": str(folder / "state")})
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        steps = json.loads((folder / "run" / "run.json").read_text())["steps"]
        print(f"exit code {os.waitstatus_to_exitcode(status)}, {rows:,} rows, {len(steps)} steps, {seconds:.0f} s")
        # Linux counts the processes that the command waited for, its steps, and gives the largest.
        print(f"most memory of one process: {usage.ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
