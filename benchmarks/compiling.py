"""Time to compile everything: every component, and every pipeline for both platforms, in a process of its own.

.venv/bin/python benchmarks/compiling.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from time import monotonic

LIMIT_SECONDS, LIMIT_BYTES = 5.0, 100_000

COMPILE = """
from pathlib import Path
from tempfile import mkdtemp
from kfp_hallmark import compiling, components, pipelines, settings
from kfp_hallmark.environments import ENVIRONMENTS, image, lock

folder = Path(mkdtemp())
pins = {image(name): f"{lock.repository(image(name))}@sha256:{'0' * 64}" for name in ENVIRONMENTS}
lock.write(folder / "images.lock.json", pins)
files = [file.content for file in compiling.generated()]
for name in pipelines.__all__:
    for platform in compiling.FLAVOURS:
        pipeline = getattr(pipelines, name)
        files.append(compiling.compile_for(pipeline, platform, settings.Settings(folder=folder)))
print(len(files), max(map(len, files)))
"""


def main(rounds: int) -> None:
    seconds = []
    for _ in range(rounds):
        started = monotonic()
        done = subprocess.run([sys.executable, "-c", COMPILE], check=True, capture_output=True, text=True)
        seconds.append(monotonic() - started)
    files, largest = map(int, done.stdout.split())
    print(f"{files} files in {statistics.median(seconds):.2f} s (median of {rounds}; limit {LIMIT_SECONDS:.0f} s)")
    print(f"largest {largest:,} bytes (limit {LIMIT_BYTES:,})")
    sys.exit(statistics.median(seconds) >= LIMIT_SECONDS or largest >= LIMIT_BYTES)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
