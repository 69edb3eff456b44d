"""How often validate_dataset warns without a cause of what moves no distribution, and from where on it finds one.

    .venv/bin/hallmark env run data -- python benchmarks/chance.py [--repeats 500] [--seed 0]

columns: pairs of columns from one distribution, 1,000 and 5,000 rows a side, and such with one code in place of some
values. categories: the same of texts, with a new text, or the one that was rarest, in place of some. times: events by
the second, and days with rows by chance around a mean, all of them or without one or two. rows: numbers of which so
many are to be expected of each, alike or some much more probable, as they are and with a part of them again, in another
order. Told is in how many repeats a feature moved or anything was warned of.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet

from kfp_hallmark.components.data.validate_dataset.comparison import Comparing, Limits, category_checks
from kfp_hallmark.components.data.validate_dataset.gaps import SECOND, longest_gap
from kfp_hallmark.components.data.validate_dataset.odd import missing_checks, tail_checks, value_checks
from kfp_hallmark.components.data.validate_dataset.repeats import repeated_rows, too_many_pairs
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.profiles.profile import Profile, column
from kfp_hallmark.profiles.scan import count_columns

DAYS = 365
ACS = Path(__file__).parents[1] / "examples/acs_employment/2016.parquet"
Draw = Callable[[int], numpy.ndarray]


def warned(before: numpy.ndarray, now: numpy.ndarray) -> tuple[bool, bool]:
    """Return whether a column is told to have moved, and whether anything else is told of it; NaN is missing."""
    tables = [pyarrow.table({"x": pyarrow.array(values, from_pandas=True)}) for values in (before, now)]
    types = {"x": tables[0].schema.field("x").type}
    counted = [count_columns(table.to_batches(), ["x"], types)[0] for table in tables]
    profiles = [
        Profile("sha256:", len(values), {"x": column(types["x"], held)})
        for values, held in zip((before, now), counted, strict=True)
    ]
    comparing = Comparing("baseline", profiles[0], ["x"])
    comparing.add("x", counted[1], 0.1)
    found = comparing.finish(profiles[1], Limits(0.1, 0.25), enough=True)
    odd = [*missing_checks(found, ()), *tail_checks(found), *value_checks(found), *category_checks(found, ())]
    return any(move.status is not Status.PASS for move in found.moves), bool(odd)


def columns(random: numpy.random.Generator, repeats: int) -> Iterator[tuple]:
    """Yield what is told of columns of numbers."""

    def missing(rows: int) -> numpy.ndarray:
        return numpy.where(random.random(rows) < 0.1, numpy.nan, random.normal(size=rows))

    kinds: dict[str, Draw] = {
        "normal": lambda rows: random.normal(size=rows),
        "lognormal": lambda rows: random.lognormal(size=rows),
        "t, 2 degrees": lambda rows: random.standard_t(2, rows),
        "a tenth missing": missing,
        "500 codes, some rare": lambda rows: (500 * random.random(rows) ** 2).astype("int64") * 2,
    }
    for kind, draw in kinds.items():
        for rows in (1000, 5000):
            yield f"{kind}, {rows:,} rows", repeats, lambda draw=draw, rows=rows: warned(draw(rows), draw(rows))
    codes = kinds["500 codes, some rare"]
    for share in (0.015, 0.025, 0.04):

        def coded(share: float = share) -> tuple[bool, bool]:
            now = codes(5000)
            now[: round(share * 5000)] = 501
            return warned(codes(5000), now)

        yield f"500 codes, 5,000 rows, {share:.1%} a new one amid them", repeats // 5, coded


def categories(random: numpy.random.Generator, repeats: int) -> Iterator[tuple]:
    """Yield what is told of columns of text, whose categories are the rarer the later."""
    for number in (30, 300, 3000):

        def draw(rows: int, number: int = number) -> numpy.ndarray:
            return (number * random.random(rows) ** 2).astype("int64").astype(str).astype(object)

        for rows in (1000, 5000):
            yield (
                f"{number:,} texts, {rows:,} rows",
                repeats,
                lambda rows=rows, draw=draw: warned(draw(rows), draw(rows)),
            )
        for word, share in (("new", 0.015), ("new", 0.03), (str(number - 1), 0.03)):

            def grown(word: str = word, share: float = share, draw: Draw = draw) -> tuple[bool, bool]:
                now = draw(5000)
                now[: round(share * 5000)] = word
                return warned(draw(5000), now)

            what = "a new one" if word == "new" else "the rarest one"
            yield f"{number:,} texts, 5,000 rows, {share:.1%} {what}", repeats // 5, grown


def times(random: numpy.random.Generator, repeats: int) -> Iterator[tuple]:
    """Yield whether a gap is told in events, and in rows of days."""
    for rate in (20, 5, 1, 0.2):

        def events(rate: float = rate) -> bool:
            seconds = random.exponential(1 / rate, 5000).cumsum().astype("int64")
            different, rows = numpy.unique(seconds, return_counts=True)
            return longest_gap(different * SECOND, rows.cumsum()).odd

        yield f"events, {rate} a second", repeats, events
    sundays = numpy.arange(DAYS) % 7 == 6
    kinds: dict[str, Draw] = {
        "as many each day": lambda mean: random.poisson(mean, DAYS),
        "5 % of them on Sundays": lambda mean: random.poisson(numpy.where(sundays, 0.05, 1) * mean),
        "none on Sundays": lambda mean: random.poisson(numpy.where(sundays, 0, mean)),
        "gamma of 2": lambda mean: random.poisson(random.gamma(2, mean / 2, DAYS)),
    }
    for kind, draw in kinds.items():
        for mean in (3, 8, 12, 20, 200):
            for gone in (0, 1, 2):

                def days(gone: int = gone, draw: Draw = draw, mean: int = mean) -> bool:
                    rows = draw(mean)
                    first = random.integers(1, DAYS - gone - 1)
                    rows[first : first + gone] = 0
                    held = numpy.flatnonzero(rows)
                    return longest_gap(held * 86_400 * SECOND, rows[held].cumsum()).odd

                yield f"days, {mean} rows, {kind}, {gone} gone", repeats // 5, days


def rows(random: numpy.random.Generator, repeats: int) -> Iterator[tuple]:
    """Yield whether more rows are there twice than chance makes."""

    def odd(values: numpy.ndarray) -> bool:
        times = numpy.unique(values, return_counts=True)[1]
        return too_many_pairs(*numpy.bincount(times, minlength=4)[1:4].tolist())

    for count in (1000, 20_000):
        for each in (0.01, 0.1, 1, 10):
            for power in (1, 4):

                def drawn(count: int = count, each: float = each, power: int = power) -> numpy.ndarray:
                    return (count / each * random.random(count) ** power).astype("int64")

                name = f"{count:,} rows, {each} each, {'alike' if power == 1 else 'some much more'}"
                yield name, repeats // 5, lambda drawn=drawn: odd(drawn())
    for count, shares in (
        (1000, (0.2, 0.4)),
        (10_000, (0.04, 0.08)),
        (100_000, (0.01, 0.02)),
        (1_000_000, (0.005, 0.01)),
    ):
        for share in shares:

            def again(count: int = count, share: float = share) -> bool:
                values = random.random(count)
                return odd(numpy.concatenate([values, values[: round(share * count)]]))

            yield f"{count:,} different rows, {share:.1%} again", 5, again
    table = pyarrow.parquet.read_table(ACS)
    for share in (0, 0.3, 0.4):

        def copied(share: float = share) -> bool:
            order = random.permutation(table.num_rows)
            whole = pyarrow.concat_tables([table, table.take(pyarrow.array(order[: round(share * len(order))]))])
            with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
                pyarrow.parquet.write_table(whole.take(pyarrow.array(random.permutation(whole.num_rows))), file.name)
                return repeated_rows(file.name).odd

        yield f"the bundled data of 2016, {share:.0%} again", 5, copied


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    random = numpy.random.default_rng(given.seed)
    for part in (columns, categories, times, rows):
        print(f"\n{part.__name__}")
        for name, repeats, once in part(random, given.repeats):
            found = [once() for _ in range(max(1, repeats))]
            if isinstance(found[0], tuple):
                drifted, odd = (sum(each) for each in zip(*found, strict=True))
                print(f"  {name}: of {len(found)}, {drifted} moved, {odd} warned")
            else:
                print(f"  {name}: of {len(found)}, {sum(found)} warned")


if __name__ == "__main__":
    main()
