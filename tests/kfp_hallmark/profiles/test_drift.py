"""How far a column has moved from a profile."""

import math

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_hallmark.profiles.drift import (
    adjusted,
    drift,
    jensen_shannon,
    l_infinity,
    population_stability_index,
)
from kfp_hallmark.profiles.profile import Profile, column, profile
from kfp_hallmark.profiles.scan import scan
from kfp_hallmark.profiles.tally import NumberTally, TextTally

ENVIRONMENT = "data"


@pytest.fixture
def through_files(tmp_path):
    """Return the drift of one column from an array to another, by way of the profile's file."""

    def find(before, now):
        for name, array in (("before", before), ("now", now)):
            pyarrow.parquet.write_table(pyarrow.table({"x": array}), tmp_path / name)
        profile(tmp_path / "before").write(tmp_path / "profile.json")
        baseline = Profile.read(tmp_path / "profile.json")
        ((name, _, counted),) = scan(tmp_path / "now")
        return drift(name, baseline.columns["x"], counted)

    return find


def percentiles(values):
    """Return the least values that 1, 2 ... 99 in 100 do not exceed."""
    return numpy.sort(values)[[-(-percent * len(values) // 100) - 1 for percent in range(1, 100)]]


def test_numbers_are_compared_at_the_percentiles_of_the_baseline(through_files):
    generator = numpy.random.default_rng(5)
    before, now = generator.normal(0, 1, 4000), generator.normal(0.3, 1.2, 2500)
    found = through_files(before, now)
    exact = scipy.stats.ks_2samp(before, now, method="asymp")
    assert exact.statistic - 0.011 < found.kolmogorov_smirnov <= exact.statistic
    edges = percentiles(before)[9::10]
    e, a = (numpy.bincount(numpy.searchsorted(edges, side), minlength=10) / len(side) for side in (before, now))
    assert found.psi == pytest.approx(numpy.sum((a - e) * numpy.log(a / e)), rel=1e-12)
    distance = scipy.stats.wasserstein_distance(percentiles(before), percentiles(now)) / before.std()
    assert found.wasserstein == pytest.approx(distance, rel=1e-6)


def test_categories_are_compared_by_all_that_the_profile_names(through_files):
    before = pyarrow.array(["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    now = pyarrow.array(["a"] * 30 + ["b"] * 40 + ["c"] * 20 + ["d"] * 10 + [None] * 20)
    found = through_files(before, now)
    counts = numpy.array([[60, 30, 10, 0, 0], [30, 40, 20, 10, 20]])
    expected = scipy.stats.chi2_contingency(numpy.column_stack([counts[:, :3], counts[:, 3:]]), correction=False)
    assert found.chi_squared == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.unseen == 10
    assert found.l_infinity == pytest.approx(60 / 100 - 30 / 120)
    assert found.kolmogorov_smirnov is None


def counted(array):
    """Count an array, chunk by chunk."""
    tally = TextTally() if pyarrow.types.is_string(array.type) else NumberTally()
    for chunk in array.chunks:
        tally.add(chunk)
    return tally.finish()


def between(before, now):
    """Return the drift from one chunked array to another."""
    return drift("x", column(before.type, counted(before)), counted(now))


def chunked(values, kind=None):
    return pyarrow.chunked_array([pyarrow.array(values, kind)])


def moved(baseline, values, kind=None):
    return between(chunked(baseline, kind), chunked(values, kind))


def reference_psi(baseline, values) -> float:
    """Compute the PSI by pandas: its counts, between deciles, and a share of 0.0001 for an empty bin."""
    deciles = numpy.quantile(baseline, numpy.arange(1, 10) / 10, method="inverted_cdf")
    edges = [-numpy.inf, *numpy.unique(deciles), numpy.inf]
    shares = [
        pandas.Series(pandas.cut(side, edges)).value_counts(normalize=True, sort=False).replace(0, 0.0001)
        for side in (baseline, values)
    ]
    return float(((shares[1] - shares[0]) * numpy.log(shares[1] / shares[0])).sum())


def psi(expected, actual):
    return population_stability_index(numpy.array(expected), numpy.array(actual))


def test_psi_is_what_the_hand_computes():
    # Shares 0.5, 0.3, 0.2 before and 0.2, 0.3, 0.5 after: (0.2 - 0.5) ln(0.4) + 0 + (0.5 - 0.2) ln(2.5).
    assert psi([50, 30, 20], [40, 60, 100]) == pytest.approx(0.5497744391, abs=1e-10)
    # Shares 0.9, 0.1 and 0.6, 0.4: -0.3 ln(2 / 3) + 0.3 ln(4).
    assert psi([90, 10], [6, 4]) == pytest.approx(0.5375278408, abs=1e-10)


def test_an_empty_bin_counts_as_a_ten_thousandth():
    expected = (0.25 - 0.0001) * math.log(0.25 / 0.0001) + (0.75 - 1) * math.log(0.75)
    assert psi([8, 0], [3, 1]) == pytest.approx(expected)
    backward = (0.0001 - 0.25) * math.log(0.0001 / 0.25) + (1 - 0.75) * math.log(1 / 0.75)
    assert psi([3, 1], [8, 0]) == pytest.approx(backward)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12))
def test_psi_is_never_negative_and_zero_for_equal_shares(counts):
    first, second = ([*column, 1] for column in zip(*counts, strict=True))
    assert psi(first, second) >= 0
    assert psi(first, [3 * count for count in first]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", ["normal", "skewed", "integer", "float32"])
def test_numbers_agree_with_pandas(kind):
    random = numpy.random.default_rng(7)
    sample = {
        "normal": lambda size, shift: random.normal(shift, 1 + shift, size),
        "skewed": lambda size, shift: random.lognormal(shift, 1, size),
        "integer": lambda size, shift: random.poisson(30 + 5 * shift, size),
        "float32": lambda size, shift: random.normal(shift, 1, size).astype("float32"),
    }[kind]
    baseline, values = sample(5000, 0), sample(1300, 0.4)
    found = moved(baseline, values)
    assert found.psi == pytest.approx(reference_psi(baseline, values), rel=1e-9)
    assert found.psi > 0.05
    assert found.bins == 10
    assert not found.grouped


def test_numbers_with_many_ties_have_fewer_bins():
    random = numpy.random.default_rng(1)
    baseline = numpy.where(random.random(4000) < 0.45, 0, random.exponential(1, 4000))
    values = numpy.where(random.random(1000) < 0.70, 0, random.exponential(1, 1000))
    found = moved(baseline, values)
    # The first four deciles are zero and make one edge.
    assert found.bins == 7
    edges = numpy.unique(numpy.percentile(baseline, range(10, 100, 10)))
    counts = [
        numpy.histogram(numpy.searchsorted(edges, side), bins=range(len(edges) + 2))[0] for side in (baseline, values)
    ]
    shares = [count / count.sum() for count in counts]
    assert found.psi == pytest.approx(float(((shares[1] - shares[0]) * numpy.log(shares[1] / shares[0])).sum()))


def test_missing_values_are_a_bin():
    # Shares a 0.8, missing 0.2 before and a 0.4, missing 0.6 after.
    found = moved(["a"] * 80 + [None] * 20, ["a"] * 20 + [None] * 30)
    assert found.psi == pytest.approx(-0.4 * math.log(0.5) + 0.4 * math.log(3))
    assert found.bins == 2
    baseline = [*range(100), *[None] * 100]
    assert moved(baseline, [*range(100), *[None] * 300]).psi == pytest.approx(
        (0.25 - 0.5) * math.log(0.5) + (0.75 - 0.5) * math.log(1.5)
    )


def test_categories_are_compared_as_they_are():
    baseline = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    values = ["a"] * 15 + ["b"] * 30 + ["d"] * 5
    e, a = numpy.array([0.6, 0.3, 0.1, 0.0001]), numpy.array([0.3, 0.6, 0.0001, 0.1])
    found = moved(baseline, values)
    assert found.psi == pytest.approx(float(((a - e) * numpy.log(a / e)).sum()))
    assert (found.bins, found.grouped) == (4, False)


@pytest.mark.parametrize(("distinct", "bins"), [(20, 20), (21, 10)])
def test_integers_with_at_most_twenty_values_are_categories(distinct, bins):
    baseline = numpy.arange(4200) % distinct
    assert moved(baseline, baseline).bins == bins


@pytest.mark.parametrize(("distinct", "bins"), [(2, 2), (10, 10), (11, 10)])
def test_other_numbers_with_at_most_ten_values_are_categories(distinct, bins):
    baseline = (numpy.arange(4400) % distinct) / 2
    assert moved(baseline, baseline).bins == bins


def test_a_number_below_a_constant_baseline_is_drift():
    assert moved([1.0] * 50, [0.0] * 50).psi > 1


def test_booleans_are_categories_and_compare_with_integers():
    # Shares true 0.25 before and 0.5 after.
    expected = 0.25 * math.log(2) - 0.25 * math.log(0.5 / 0.75)
    assert moved([True, False, False, False] * 10, [True, False] * 10).psi == pytest.approx(expected)
    assert between(chunked([1, 0, 0, 0] * 10), chunked([True, False] * 10)).psi == pytest.approx(expected)
    assert between(chunked([1.0, 0, 0, 0] * 10), chunked([True, False] * 10)).psi == pytest.approx(expected)


def test_identifiers_make_no_nonsense():
    found = moved([f"a{index}" for index in range(700)], [f"b{index}" for index in range(300)])
    assert (found.psi, found.bins, found.grouped) == (0.0, 1, True)


def test_identifiers_that_are_often_missing_now_are_drift():
    found = moved([f"a{index}" for index in range(700)], [f"b{index}" for index in range(150)] + [None] * 150)
    assert found.bins == 2
    assert found.psi > 1


@pytest.mark.parametrize(("distinct", "grouped"), [(20, False), (21, True)])
def test_rare_categories_are_taken_together_among_many(distinct, grouped):
    baseline = ["big"] * 5000 + [f"c{index}" for index in range(distinct - 1)] * 10
    assert moved(baseline, baseline).grouped is grouped
    assert moved(baseline, baseline).bins == distinct


@pytest.mark.parametrize(("rows", "rare", "bins"), [(1000, 9, 21), (1000, 10, 22), (300, 4, 21), (300, 5, 22)])
def test_a_category_is_frequent_from_a_hundredth_and_five_rows_on(rows, rare, bins):
    """20 frequent categories, a tiny one, and one of `rare` rows: with the tiny one, or a bin of its own."""
    counts = [(rows - 1 - rare) // 20 + (index < (rows - 1 - rare) % 20) for index in range(20)]
    values = [f"c{index}" for index, count in enumerate(counts) for _ in range(count)]
    values += ["tiny", *["rare"] * rare]
    assert len(values) == rows
    assert moved(values, values).bins == bins


def texts(counts):
    """Return so many rows of each of some categories."""
    return chunked([f"c{index:03}" for index, count in enumerate(counts) for _ in range(count)])


def test_a_rare_category_that_is_frequent_now_is_a_bin_of_its_own():
    """Of 300 categories the first 20 are bins, all others one, but for the one that has risen."""
    found = between(texts([10] * 299 + [8]), texts([10] * 299 + [450]))
    e, a = (numpy.array([10] * 20 + [count, 2790]) / (2990 + count) for count in (8, 450))
    assert found.psi == pytest.approx(numpy.sum((a - e) * numpy.log(a / e)), rel=1e-12)
    assert found.psi > 0.25
    assert (found.bins, found.unseen, found.all_named) == (22, 0, True)


@pytest.mark.parametrize(("now", "bins"), [(299, 21), (300, 22)])
def test_a_risen_category_has_a_hundredth_of_the_rows(now, bins):
    found = between(texts([20, *[100] * 298, 180]), texts([now, *[100] * 296, 400 - now, 0]))
    assert found.bins == bins


@pytest.mark.parametrize(("now", "risen"), [(25, False), (26, True)])
@pytest.mark.parametrize("before", [5, 4])
def test_a_risen_category_has_more_rows_than_chance_gives(before, now, risen):
    """Of 1,000 rows: sqrt(0.026) - sqrt(0.005) is above 2 sqrt(2 / 1,000). Of 4 rows a profile names no category."""
    found = between(texts([before, 45 - before, *[40] * 19, *[5] * 39]), texts([now, *[40] * 19, 45 - now, *[5] * 39]))
    assert found.bins == 21 + risen
    assert (found.unseen, found.all_named) == ((0, True) if before == 5 else (now * risen, False))


def test_a_new_category_of_many_is_drift():
    before, now = texts([3, *[10] * 300]), texts([0, *[10] * 300, 120])
    found = between(before, now)
    assert (found.unseen, found.all_named) == (120, False)
    share = 120 / 3120
    assert found.psi == pytest.approx((share - 0.0001) * math.log(share / 0.0001), abs=0.01)


def test_text_is_not_compared_with_numbers():
    assert between(chunked(["1", "2"]), chunked([1, 2])) is None


@pytest.mark.parametrize("kind", ["float64", "string"])
@pytest.mark.parametrize("sides", [([], []), ([1.5] * 50, []), ([], [1.5] * 50)])
def test_without_rows_there_is_nothing_to_compare(sides, kind):
    assert between(*(chunked(side).cast(kind) if side else chunked(side, kind) for side in sides)) is None


def test_few_great_numbers_are_compared():
    # Shares 0.5, 0.5 before and 0.25, 0.75 after; 1e300 and its like are written as whole numbers.
    expected = 0.25 * math.log(2) + 0.25 * math.log(1.5)
    assert moved([1e300, -1.5e299] * 20, [1e300, -1.5e299, -1.5e299, -1.5e299] * 10).psi == pytest.approx(expected)


def test_beyond_the_exact_rows_every_percentile_is_an_edge():
    """Three pieces of different sizes: the ranks of their representatives are no whole numbers."""
    random = numpy.random.default_rng(1)
    for _ in range(60):
        tally = NumberTally(5000)
        for rows in random.integers(5000, 9000, 3):
            tally.add(pyarrow.array(random.random(rows)))
        held = column(pyarrow.float64(), tally.finish()).distribution
        assert held.percentiles() == pytest.approx(numpy.arange(1, 100) / 100, abs=0.03)


@pytest.mark.parametrize("baseline", [[None] * 50, [1.5] * 50])
def test_a_side_without_values_is_drift(baseline):
    other = [1.5] * 50 if baseline[0] is None else [None] * 50
    assert between(chunked(baseline, "float64"), chunked(other, "float64")).psi > 1


def test_infinities_are_at_the_ends():
    baseline = [*range(1000), 0.5]
    assert moved(baseline, [float("inf")] * 10 + [float("-inf")] * 10).psi == pytest.approx(
        moved(baseline, [1e9] * 10 + [-1e9] * 10).psi
    )


def test_of_many_categories_chance_makes_no_drift():
    random = numpy.random.default_rng(3)
    shares = random.dirichlet(numpy.full(100, 2.0))
    for _ in range(20):
        sides = ([f"c{value}" for value in random.choice(100, 1000, p=shares)] for _ in range(2))
        assert moved(*sides).psi < 0.25


@pytest.mark.parametrize(
    "kinds", [("int64", "float64"), ("float64", "int64"), ("uint64", "int64"), ("int64", "uint64")]
)
def test_integers_too_large_for_floats_are_compared(kinds):
    large, small = 2**63 - 1, 1
    sides = [
        pyarrow.chunked_array([pyarrow.array([large, small] * 50, "int64").cast(kind, safe=False)]) for kind in kinds
    ]
    assert between(*sides).psi == 0


@pytest.mark.parametrize("kind", ["uint64", "int64"])
@pytest.mark.parametrize("rows", [500, 20])
def test_integers_that_floats_cannot_tell_apart_are_told_apart(kind, rows):
    least = 2**62 if kind == "int64" else 2**64 - 1000
    near, same = (chunked([least + (row + step) % rows for row in range(1000)], kind) for step in (0, 7))
    far = chunked([least + row % rows // 2 for row in range(1000)], kind)
    assert between(near, same).psi == 0
    assert between(near, same).bins == (10 if rows == 500 else 20)
    assert between(near, far).psi > 1
    assert between(far, near).psi > 1


def test_unsigned_integers_beside_negative_ones_are_compared():
    great, negative = chunked([2**64 - 1 - row for row in range(100)], "uint64"), chunked(range(-100, 0), "int64")
    assert between(great, negative).psi > 1
    assert between(negative, great).psi > 1


def test_the_measures_of_bins_are_scipys_and_the_hands():
    expected, actual = numpy.array([50, 30, 20]), numpy.array([40, 60, 100])
    # Shares 0.5, 0.3, 0.2 and 0.2, 0.3, 0.5; their mean 0.35, 0.3, 0.35.
    divergence = (0.5 * math.log2(0.5 / 0.35) + 0.2 * math.log2(0.2 / 0.35)) / 2
    divergence += (0.2 * math.log2(0.2 / 0.35) + 0.5 * math.log2(0.5 / 0.35)) / 2
    assert jensen_shannon(expected, actual) == pytest.approx(divergence)
    assert l_infinity(expected, numpy.array([60, 60, 80])) == pytest.approx(0.2)


def test_p_values_are_adjusted_as_benjamini_and_hochberg_did():
    # Sorted 0.01, 0.02, 0.03, 0.5: times 4 / rank are 0.04, 0.04, 0.04, 0.5.
    assert adjusted([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.04, 0.5, 0.04, 0.04])
    assert adjusted([0.001, 0.04, 0.5]) == pytest.approx([0.003, 0.06, 0.5])
    assert adjusted([]) == []


def test_a_change_inside_the_distribution_is_significant_too():
    """Every second tenth is three times as frequent: the distribution functions stay close, the bins do not."""
    random = numpy.random.default_rng(2)
    before = random.random(1000)
    tenths = random.choice(10, 1000, p=numpy.tile([0.05, 0.15], 5))
    found = moved(before, (tenths + random.random(1000)) / 10)
    assert found.kolmogorov_smirnov < 0.08
    assert found.psi > 0.2
    assert found.p_value < 1e-8


@pytest.mark.parametrize(("factor", "told"), [(1000, True), (0.001, True), (2.1, True), (1.9, False), (1, False)])
def test_another_unit_is_told(factor, told):
    random = numpy.random.default_rng(4)
    before, now = (random.lognormal(3, 1, 3000) for _ in range(2))
    found = moved(before, now * factor)
    assert (found.factor is not None) is told
    if told:
        assert found.factor == pytest.approx(factor, rel=0.1)


@pytest.mark.parametrize(
    ("before", "now", "factor"),
    [
        ([0, 0, 1, 2, 2, 2, 3], [0, 0, 1000, 2000, 2000, 3000, 3000], 1000),
        ([7], [7000], 1000),
        ([0.5, 1.5, 2.5], [0.005, 0.015, 0.025], 0.01),
        ([0, 1], [0, None, 60], 60),
        ([-3, -1, 4], [-30, -10, 40], 10),
        # Codes of which another is more frequent, or that are others, are no unit.
        ([1, 1, 1, 1, 2], [1, 2, 2, 2, 2], None),
        ([1, 2, 3], [4, 5, 6], None),
        ([0, 0, 0, 1], [0, 0, 1, 1], None),
        ([0], [0, 0, 5], None),
        ([1, 2], [None, math.inf], None),
        ([True, False], [True, True], None),
        ([1, 2], [], None),
        ([None], [5], None),
    ],
)
def test_another_unit_of_few_values_is_told(before, now, factor):
    found = moved(before * 20, now * 30)
    assert (found and found.factor) == (factor and pytest.approx(factor))


def test_a_wider_distribution_is_not_another_unit():
    random = numpy.random.default_rng(4)
    assert moved(random.normal(5, 1, 3000), random.normal(15, 9, 3000)).factor is None


def test_shares_of_missing_values_are_told():
    found = moved([1.5, None, 2.5, 3.5] * 10, [1.5, None, None, 3.5, 2.5] * 10)
    assert found.missing == (0.25, 0.4)


@pytest.mark.parametrize("levels", [300, 3000, 20000])
def test_many_categories_have_honest_p_values(levels):
    """Of 40,000 rows a profile names what chance makes frequent; that must not look like drift."""
    random = numpy.random.default_rng(levels)
    found = []
    for _ in range(12):
        sides = (pyarrow.array(random.integers(0, levels, 40_000)).cast("string") for _ in range(2))
        found.append(between(*(pyarrow.chunked_array([side]) for side in sides)).p_value)
    assert numpy.mean(numpy.array(found) < 0.05) <= 0.25
    assert min(found) > 1e-4
