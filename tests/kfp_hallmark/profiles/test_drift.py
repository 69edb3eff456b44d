"""How far a column has moved from a profile."""

import numpy
import pyarrow
import pyarrow.parquet
import pytest
import scipy.stats

from kfp_hallmark.profiles.drift import drift
from kfp_hallmark.profiles.profile import Profile, profile
from kfp_hallmark.profiles.scan import scan

ENVIRONMENT = "data"


@pytest.fixture
def moved(tmp_path):
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


def test_numbers_are_compared_at_the_percentiles_of_the_baseline(moved):
    generator = numpy.random.default_rng(5)
    before, now = generator.normal(0, 1, 4000), generator.normal(0.3, 1.2, 2500)
    found = moved(before, now)
    exact = scipy.stats.ks_2samp(before, now, method="asymp")
    assert exact.statistic - 0.011 < found.kolmogorov_smirnov <= exact.statistic
    edges = percentiles(before)[9::10]
    e, a = (numpy.bincount(numpy.searchsorted(edges, side), minlength=10) / len(side) for side in (before, now))
    assert found.psi == pytest.approx(numpy.sum((a - e) * numpy.log(a / e)), rel=1e-12)
    distance = scipy.stats.wasserstein_distance(percentiles(before), percentiles(now)) / before.std()
    assert found.wasserstein == pytest.approx(distance, rel=1e-12)


def test_categories_are_compared_by_all_that_the_profile_names(moved):
    before = pyarrow.array(["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    now = pyarrow.array(["a"] * 30 + ["b"] * 40 + ["c"] * 20 + ["d"] * 10 + [None] * 20)
    found = moved(before, now)
    counts = numpy.array([[60, 30, 10, 0, 0], [30, 40, 20, 10, 20]])
    expected = scipy.stats.chi2_contingency(numpy.column_stack([counts[:, :3], counts[:, 3:]]), correction=False)
    assert found.chi_squared == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.unseen == 10
    assert found.l_infinity == pytest.approx(60 / 100 - 30 / 120)
    assert found.kolmogorov_smirnov is None
