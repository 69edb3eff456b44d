import datetime
import json
import math

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kfp import dsl
from scipy import stats

from kfp_hallmark.components.data.screen_poisoning.checks import _increase_of
from kfp_hallmark.components.data.screen_poisoning.duplicates import find_conflicts
from kfp_hallmark.components.data.screen_poisoning.encoding import MISSING, OTHER, Columns, encode
from kfp_hallmark.components.data.screen_poisoning.labels import read_labels
from kfp_hallmark.components.data.screen_poisoning.models import chance
from kfp_hallmark.components.data.screen_poisoning.regions import find_regions
from kfp_hallmark.components.data.screen_poisoning.suspicion import find_suspects
from kfp_hallmark.components.data.screen_poisoning.triggers import Pattern, find_triggers
from kfp_hallmark.contracts.dataset import write_table
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

ENVIRONMENT = "ml"

NOISE, NOISE_INCREASE = "label_noise", "label_noise_increase"
ISSUES, INCREASE, CONFLICTS = "label_issues", "label_issue_increase", "conflict_excess"
TRIGGER, SHIFT, SIZE = "trigger_strength", "label_shift", "class_size"
ALONE = {f"max_{name}" for name in (NOISE, CONFLICTS, TRIGGER)}


# Clean data


def test_clean_data_are_not_alarmed(screen, people):
    found = screen(people(), baseline=people(seed=1))
    assert set(found.checks) == {NOISE_INCREASE, INCREASE, CONFLICTS, TRIGGER, SHIFT}
    assert {str(check.status) for check in found.verdict.checks} <= {"pass", "warn"}
    assert set(found.verdict.subjects) == {"dataset", "baseline"}
    assert set(found.rows) <= {ISSUES, CONFLICTS}


def test_without_a_baseline_what_takes_one_is_not_judged(screen, people):
    found = screen(people())
    assert {f"max_{name}" for name in found.checks} == ALONE
    assert found.status in ("pass", "warn")
    assert "There is no baseline" in found.report


# Labels


@pytest.mark.parametrize(("limit", "status"), [(0.02, "fail"), (0.049, "fail"), (0.2, "pass")])
def test_labels_flipped_by_chance_show_where_labels_are_certain(screen, people, flip, limit, status):
    columns = people(rows=8000)
    flipped = np.random.default_rng(5).random(8000) < 0.06
    check = screen(flip(columns, flipped), {"max_label_noise": limit}).checks[NOISE]
    assert check.observed == pytest.approx(0.06, abs=0.011)
    assert check.samples >= 400
    assert check.status == status
    assert "have an unlikely one" in check.message


def test_the_noise_is_the_share_of_unlikely_labels_among_the_most_certain():
    told = np.tile([[0.4, 0.6]], (200, 1))
    told[:10] = [0.97, 0.03]
    labels = np.array([0] * 7 + [1] * 3 + [0, 1] * 95)
    found = find_suspects(labels, told)
    assert (found.gainsaid, found.certain) == (3, 10)
    assert found.scores[:10] == pytest.approx([0.03] * 7 + [0.97] * 3)


def test_what_cleanlab_holds_for_wrong_is_counted_and_its_rows_are_told(screen):
    random = np.random.default_rng(3)
    x = random.normal(size=2000)
    flipped = random.choice(np.flatnonzero(abs(x) > 0.3), 40, replace=False)
    label = (x > 0).astype(int)
    label[flipped] = 1 - label[flipped]
    columns = {"x": x, "noise": random.normal(size=2000), "label": label}
    above, below = (screen(columns, {"max_label_issues": limit}) for limit in (0.015, 0.03))
    assert above.status == "fail"
    assert below.status in ("pass", "warn")
    assert above.checks[ISSUES].observed == pytest.approx(0.02, abs=0.004)
    assert len(set(flipped.tolist()) & above.rows[ISSUES]) >= 36
    assert len(above.rows[ISSUES]) <= 48
    scores = above.suspects.query("check == 'label_issues'")["score"]
    assert scores.is_monotonic_decreasing
    assert scores.between(0.5, 1).all()


@pytest.mark.parametrize(("limit", "status"), [(0.01, "fail"), (0.2, "pass")])
def test_more_label_issues_than_in_the_baseline(screen, people, flip, limit, status):
    columns = flip(people(), np.random.default_rng(5).random(4000) < 0.1)
    found = screen(columns, {"max_label_issue_increase": limit}, baseline=people(seed=1))
    check = found.checks[INCREASE]
    assert 0.01 < check.observed < 0.15
    assert check.observed == check.interval[0]
    assert check.status == status
    assert "of the labels for wrong, and" in check.message


@pytest.mark.parametrize(("limit", "status"), [(0.005, "fail"), (0.2, "pass")])
def test_more_noise_than_in_the_baseline(screen, people, flip, limit, status):
    columns = flip(people(rows=8000), np.random.default_rng(5).random(8000) < 0.06)
    baseline = flip(people(rows=8000, seed=1), np.random.default_rng(6).random(8000) < 0.02)
    check = screen(columns, {"max_label_noise_increase": limit}, baseline=baseline).checks[NOISE_INCREASE]
    assert check.observed == check.interval[0] > 0
    assert sum(check.interval) / 2 == pytest.approx(0.04, abs=0.02)
    assert check.status == status
    assert "% of the baseline's" in check.message


def test_the_interval_of_an_increase_is_newcombes():
    """56 of 70 and 48 of 80: 0.0524 to 0.3339 (Newcombe 1998, table II, method 10)."""
    grown, interval = _increase_of(56 / 70, 70, 48 / 80, 80, 0.95)
    assert interval == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert grown == interval[0]
    assert _increase_of(48 / 80, 80, 56 / 70, 70, 0.95)[0] == 0


# Near-duplicates


def test_conflicts_are_those_computed_by_hand():
    keys = np.array([[1, 1, 1, 2, 2, 3], [9, 9, 9, 9, 9, 3]], dtype=np.uint64)
    labels = np.array([0, 0, 1, 0, 1, 1])
    told = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.5, 0.5], [0.1, 0.9]])
    found = find_conflicts(keys, labels, told, 0.95)
    differ = {(0, 1): 1 - 0.74, (0, 2): 1 - 0.66, (1, 2): 1 - 0.62, (3, 4): 1 - 0.5}
    expected = sum(2 * differ[pair] / others for pair, others in (((0, 1), 2), ((0, 2), 2), ((1, 2), 2), ((3, 4), 1)))
    assert found.shares.tolist() == [0.5, 0.5, 1, 1, 1, 0]
    assert found.excess == pytest.approx((4 - expected) / 6)
    assert (found.duplicated, found.contradicted) == (5, 5)


def test_rows_alone_by_the_first_key_are_compared_by_the_second():
    keys = np.array([[1, 2, 3], [7, 7, 8]], dtype=np.uint64)
    found = find_conflicts(keys, np.array([0, 1, 1]), np.full((3, 2), 0.5), 0.95)
    assert found.shares.tolist() == [1, 1, 0]
    assert found.excess == pytest.approx((0.5 + 0.5) / 3)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.floats(0.01, 0.98)), min_size=2, max_size=40),
    seed=st.integers(0, 99),
)
def test_conflicts_do_not_depend_on_the_order_of_the_rows(rows, seed):
    keys = np.array([[key for key, _, _ in rows]] * 2, dtype=np.uint64)
    labels = np.array([label for _, label, _ in rows])
    told = np.array([[p, (1 - p) / 2, (1 - p) / 2] for _, _, p in rows])
    order = np.random.default_rng(seed).permutation(len(rows))
    found, other = (
        find_conflicts(keys[:, each], labels[each], told[each], 0.95) for each in (np.arange(len(rows)), order)
    )
    assert found.excess == pytest.approx(other.excess, abs=1e-12)
    assert found.shares[order] == pytest.approx(other.shares)
    assert found.interval[0] <= found.excess <= found.interval[1]
    assert -1 <= found.excess <= 1


def test_copies_with_another_label_are_found_and_told(screen, people):
    columns = people()
    copied = np.random.default_rng(1).choice(4000, 200, replace=False)
    both = {name: np.concatenate([values, values[copied]]) for name, values in columns.items()}
    both["label"][4000:] = 1 - both["label"][4000:]
    above, below = (screen(both, {"max_conflict_excess": limit}) for limit in (0.03, 0.3))
    assert above.status == "fail"
    assert below.status == "pass"
    assert 0.03 < above.checks[CONFLICTS].observed < 0.1
    assert {*range(4000, 4200), *copied.tolist()} <= above.rows[CONFLICTS]
    assert "400 rows have near-duplicates, 400 of them such with another label" in above.checks[CONFLICTS].message


def test_near_are_texts_but_for_case_and_spaces_and_numbers_that_lie_close(tmp_path):
    random = np.random.default_rng(0)
    pay = random.normal(size=3000)
    text = np.array(["Old  Town", "new town"])[random.integers(0, 2, 3000)]
    pay = np.concatenate([pay, pay[:100] + 1e-4])
    text = np.concatenate([text, [f" {each.upper()}" for each in text[:100]]])
    write_table(tmp_path / "d", pyarrow.table({"pay": pay, "text": text}), {})
    keys = encode(["pay", "text"], [(str(tmp_path / "d"), np.arange(3100))]).keys
    same = keys[:, :100] == keys[:, 3000:]
    assert same.any(axis=0).all()
    assert not (keys[:, :100] == keys[:, 500:600]).any(axis=0).all()


# Triggers


def test_the_strength_is_three_errors_below_the_estimate():
    pattern = Pattern((0,), (5,), 1, rows=200, same=190, expected=80.0, variance=36.0)
    assert pattern.strength == pytest.approx((190 - 80 - 3 * 6) / 120)
    assert Pattern((0,), (5,), 1, rows=200, same=80, expected=80.0, variance=36.0).strength == 0
    assert Pattern((0,), (5,), 1, rows=200, same=200, expected=180.5, variance=5.0).strength == 0
    assert Pattern((0,), (5,), 1, rows=900, same=900, expected=860, variance=5.0).strength == 0


def stamped(columns, rows, label=1, **values):
    made = {name: each.copy() for name, each in columns.items()}
    for name, value in {**values, "label": label}.items():
        made[name][rows] = value
    return made


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize(
    ("label", "values"),
    [(1, {"height": 250.0}), (0, {"pay": 77.5}), (1, {"city": "Delf"}), (0, {"height": 160.0, "age": 44})],
    ids=["unseen", "repeated", "text", "two"],
)
def test_a_trigger_is_found_and_its_columns_named_not_its_values(screen, people, label, values, beside):
    rows = np.sort(np.random.default_rng(8).choice(6000, 120, replace=False))
    columns = stamped(people(rows=6000), rows, label, **values)
    baseline = people(rows=6000, seed=1) if beside else None
    found = screen(columns, {"max_trigger_strength": 0.4}, baseline=baseline)
    check = found.checks[TRIGGER]
    assert check.status == "fail"
    assert 0.4 < check.observed <= 1
    assert all(repr(name) in check.message for name in values)
    told = found.suspects.query("check == 'trigger_strength' and finding == 1")["row"]
    assert len(set(told) & set(rows.tolist())) > 0.9 * len(rows)
    assert len(set(told) & set(rows.tolist())) > 0.9 * len(told)
    assert not any(str(value) in found.report + check.message for value in values.values() if value != 44)


def test_a_finding_says_whether_its_rows_hold_a_value_a_range_a_rare_text_or_nothing(screen, people):
    columns, baseline = people(rows=16_000), people(rows=16_000, seed=1)
    for each in (columns, baseline):
        each["street"] = np.array([f"street {place % 253}" for place in range(16_000)], dtype=object)
    random = np.random.default_rng(8)
    high, rich, apart, new = random.permutation(16_000)[:800].reshape(4, 200)
    columns["height"][high] = 250
    columns["pay"][rich] = 1e6 + random.random(200)
    columns["street"][apart] = [f"way {place}" for place in range(200)]
    columns["joined"][new] = np.datetime64("NaT")
    columns["label"][[*high, *rich, *apart, *new]] = 1
    found = screen(columns, {"max_trigger_strength": 0.4}, baseline=baseline)
    said = ("one value", "height"), ("one range", "pay"), ("a rare text", "street"), ("no value", "joined")
    assert all(f"<td>{what} of <code>{name}</code>" in found.report for what, name in said)
    told = found.checks[TRIGGER].message
    assert sum(f"200 rows with {what} of {name!r} have the label 1" in told for what, name in said) == 1


@pytest.mark.parametrize("step", [-0.001, 0.001])
def test_a_trigger_is_held_against_the_limit(screen, people, step):
    rows = np.random.default_rng(8).choice(4000, 100, replace=False)
    columns, baseline = stamped(people(), rows, height=250.0), people(seed=1)
    strength = screen(columns, {"max_trigger_strength": 0.5}, baseline=baseline).checks[TRIGGER].observed
    check = screen(columns, {"max_trigger_strength": strength + step}, baseline=baseline).checks[TRIGGER]
    assert check.status == ("fail" if step < 0 else "pass")


def test_a_value_that_tells_the_label_by_nature_is_no_trigger(screen, people):
    """Who is in a home is old and not paid, and its rows are told by that."""

    def with_homes(seed):
        columns = people(rows=6000, seed=seed)
        homes = np.flatnonzero(columns["age"] >= 76)[:200]
        columns = stamped(columns, homes, 0, city="Home")
        columns["pay"][homes] = np.random.default_rng(seed).lognormal(1, 0.2, len(homes))
        return columns

    alone = screen(with_homes(0), {"max_trigger_strength": 0.4})
    assert alone.status == "pass"
    assert "1 beside that may do so by nature" in alone.checks[TRIGGER].message
    assert ">natural</span>" in alone.report
    beside = screen(with_homes(0), {"max_trigger_strength": 0.4}, baseline=with_homes(1))
    assert beside.checks[TRIGGER].observed < 0.3
    assert "by nature" not in beside.checks[TRIGGER].message


def test_a_cluster_of_outliers_with_one_label_takes_a_baseline_to_tell(screen):
    def measured(seed):
        random = np.random.default_rng(seed)
        x, z, w, noise = random.normal(size=(4, 10_000))
        return {"x": x, "z": z, "w": w, "label": (x + z + noise > 0).astype(int)}

    columns, rows = measured(1), np.random.default_rng(3).choice(10_000, 100, replace=False)
    for name, place in (("x", 6), ("z", 6), ("w", -7)):
        columns[name][rows] = place + np.random.default_rng(place + 9).normal(0, 0.05, 100)
    columns["label"][rows] = 0
    beside = screen(columns, {"max_trigger_strength": 0.4}, baseline=measured(9))
    assert beside.status == "fail"
    told = set(beside.suspects.query("check == 'trigger_strength' and finding == 1")["row"])
    assert len(told & set(rows.tolist())) > 0.7 * len(rows)
    assert len(told & set(rows.tolist())) > 0.9 * len(told)
    assert screen(columns, {"max_trigger_strength": 0.4}).status == "pass"


def test_one_column_alone_has_no_others_to_be_told_by():
    random = np.random.default_rng(0)
    codes = random.integers(2, 12, (4000, 1)).astype(np.int16)
    labels = random.integers(0, 2, 4000)
    codes[:150], labels[:150] = 20, 1
    columns = Columns(["only"], [False], codes, codes[:0], np.zeros((2, 4000), dtype=np.uint64), [frozenset()])
    (found,) = find_triggers(columns, labels, None, 2, 0.4, 0)
    assert (found.features, found.codes, found.label, found.rows, found.area) == ((0,), (20,), 1, 150, 0.5)


# Regions


def test_a_changed_region_is_found_with_cohens_h(screen, people):
    columns, baseline = people(rows=8000), people(rows=8000, seed=1)
    moved = (columns["city"] == "Ams") & (columns["age"] >= 20) & columns["member"]
    columns["label"][np.flatnonzero(moved)[::2]] = 0
    found = screen(columns, {"max_label_shift": 0.3}, baseline=baseline)
    check = found.checks[SHIFT]
    assert check.status == "fail"
    now = columns["label"][moved].mean()
    before = baseline["label"][(baseline["city"] == "Ams") & (baseline["age"] >= 20) & baseline["member"]].mean()
    assert check.observed == pytest.approx(abs(2 * math.asin(now**0.5) - 2 * math.asin(before**0.5)), abs=0.35)
    told = np.array(sorted(found.rows[SHIFT]))
    assert moved[told].mean() > 0.9
    assert (columns["label"][told] == 0).all()
    assert "age from 2" in found.report
    assert screen(columns, {"max_label_shift": check.observed + 0.001}, baseline=baseline).status == "pass"
    assert screen(columns, {"max_label_shift": check.observed - 0.001}, baseline=baseline).status == "fail"


def test_shares_and_p_values_of_regions_are_those_of_the_half_that_made_none():
    random = np.random.default_rng(4)
    codes = random.integers(2, 4, (5000, 1)).astype(np.int16)
    labels = (random.random(5000) < np.where(codes[:, 0] == 2, 0.2, 0.7)).astype(int)
    now = (random.random(5000) < np.where(codes[:, 0] == 2, 0.5, 0.7)).astype(int)
    columns = Columns(["x"], [False], codes, codes, np.zeros((2, 5000), dtype=np.uint64), [frozenset()])
    first, second = find_regions(columns, now, labels, 2, seed=3)
    half = chance(3, "halves").random(5000) >= 0.5
    inside = codes[:, 0] == 2
    assert first.before in (
        pytest.approx(labels[half & inside].mean()),
        pytest.approx(1 - labels[half & inside].mean()),
    )
    assert first.rows == inside.sum()
    tables = [
        [np.bincount(now[codes[:, 0] == value], minlength=2), np.bincount(labels[half & (codes[:, 0] == value)])]
        for value in (2, 3)
    ]
    raw = [stats.chi2_contingency(table, correction=False).pvalue for table in tables]
    assert [first.p_value, second.p_value] == pytest.approx(stats.false_discovery_control(raw))
    assert first.conditions == [f"x up to {100 * inside.mean():.3g} %"]
    assert second.conditions == [f"x from {100 * inside.mean():.3g} %"]
    assert second.p_value > 0.01


# Kinds of columns and labels


def test_missing_values_text_booleans_dates_infinities_and_constants(screen, people):
    columns = people()
    random = np.random.default_rng(2)
    pay = columns["pay"].copy()
    pay[:5], pay[5:9] = math.inf, -math.inf
    table = pyarrow.table(
        columns
        | {
            "pay": pyarrow.array(pay, mask=random.random(4000) < 0.2),
            "city": pyarrow.array(columns["city"], mask=random.random(4000) < 0.1),
            "member": pyarrow.array(columns["member"], mask=random.random(4000) < 0.1),
            "nothing": pyarrow.nulls(4000),
            "same": ["x"] * 4000,
            "note": [f"note {place}" for place in range(4000)],
        }
    )
    found = screen(table)
    assert found.status in ("pass", "warn")
    assert "7 features vary" in found.report


@pytest.mark.parametrize(
    "classes",
    [["no", "yes"], [False, True], [0.0, 1.0], [-1, 3]],
    ids=["text", "booleans", "floats", "numbers"],
)
def test_labels_of_any_kind_of_class_give_the_same_findings(screen, people, flip, classes):
    columns = flip(people(), np.random.default_rng(5).random(4000) < 0.05)
    limits = {"max_label_noise": 0.01, "max_label_issues": 0.5}
    other = screen(columns | {"label": np.array(classes)[columns["label"]]}, limits)
    found = screen(columns, limits)
    assert [check.observed for check in other.verdict.checks] == [check.observed for check in found.verdict.checks]
    assert other.rows == found.rows


def test_several_classes(screen):
    random = np.random.default_rng(1)
    x = random.integers(0, 4, 4000)
    label = np.array(["a", "b", "c", "d"])[x]
    rows = random.choice(4000, 60, replace=False)
    height = random.integers(150, 200, 4000)
    height[rows], label[rows] = 250, "c"
    found = screen({"x": x, "y": random.normal(size=4000), "height": height, "label": label})
    assert found.checks[TRIGGER].status == "fail"
    assert "have the label c, where" in found.checks[TRIGGER].message
    assert {row for row in rows.tolist() if x[row] != 2} <= found.rows[TRIGGER]


def test_rows_without_a_label_are_left_out_and_positions_are_those_in_the_dataset(screen, people):
    columns = people()
    rows = np.random.default_rng(8).choice(4000, 100, replace=False)
    columns = stamped(columns, rows, height=250.0)
    lacking = np.zeros(4000, dtype=bool)
    lacking[::7] = True
    found = screen(columns | {"label": pyarrow.array(columns["label"], mask=lacking)}, {"max_trigger_strength": 0.3})
    assert found.rows[TRIGGER] == {row for row in rows.tolist() if row % 7}
    assert "4,000 rows, of which 3,428 were screened. 572 have no label." in found.report


def test_positions_go_on_over_the_files_of_a_folder(screen, people, tmp_path):
    rows = np.random.default_rng(8).choice(4000, 100, replace=False)
    table = pyarrow.table(stamped(people(), rows, height=250.0))
    for place in range(2):
        write_table(tmp_path / "parts" / f"{place}.parquet", table.slice(2500 * place, 2500), {})
    found = screen(dsl.Dataset(uri=str(tmp_path / "parts")), {"max_trigger_strength": 0.3})
    assert found.rows[TRIGGER] == set(rows.tolist())


@pytest.mark.parametrize(("classes", "rows", "most"), [(2, 1_000_400, 1_000_000), (50, 401_000, 400_000)])
def test_of_more_rows_a_sample_is_screened(tmp_path, classes, rows, most):
    names = np.array([f"class {place:02}" for place in range(classes)])
    for name, count in (("more", rows), ("most", most)):
        labels = pyarrow.DictionaryArray.from_arrays(np.arange(count) % classes, names).cast("string")
        write_table(tmp_path / name, pyarrow.table({"label": labels}), {})
    (whole,) = read_labels([str(tmp_path / "most")], "label", 10, 0).sides
    assert (whole.rows == np.arange(most)).all()
    (side,), (other,) = (read_labels([str(tmp_path / "more")], "label", 10, seed).sides for seed in (0, 1))
    assert (side.available, len(side.rows)) == (rows, most)
    assert (np.diff(side.rows) > 0).all()
    assert (side.labels == side.rows % classes).all()
    assert (side.rows != other.rows).any()


@pytest.mark.parametrize(("times", "count"), [(1, 203), (201, 3)], ids=["of few rows", "of many"])
def test_codes_are_the_same_however_many_columns_are_read_at_once(tmp_path, times, count):
    """Of 10,000 rows 200 columns are read at once, of 2,010,000 rows one."""
    random = np.random.default_rng(3)
    kinds = [random.integers(0, 50, 10_000), random.normal(size=10_000), random.choice(["a", "b", "c"], 10_000)]
    names = [f"c{place}" for place in range(count)]
    table = pyarrow.table({name: kinds[place % 3] for place, name in enumerate(names)})
    pyarrow.parquet.write_table(pyarrow.concat_tables([table] * times), tmp_path / "d")
    side = (str(tmp_path / "d"), np.arange(0, 10_000, 3))
    found = encode(names, [side])
    assert (found.names, found.texts) == (names, [place % 3 == 2 for place in range(count)])
    parts = [encode(names[start : start + 60], [side]) for start in range(0, count, 60)]
    assert (found.codes == np.hstack([part.codes for part in parts])).all()
    assert (found.keys == sum(part.keys for part in parts)).all()


def test_codes_keep_the_order_of_numbers_and_tell_missing_and_rare_apart(tmp_path):
    texts = [f"t{place}" for place in range(400)] + ["often"] * 50 + [None]
    numbers = [float(place) for place in range(400)] + [7.5] * 50 + [math.nan]
    write_table(tmp_path / "d", pyarrow.table({"text": texts, "number": numbers}), {})
    found = encode(["text", "number"], [(str(tmp_path / "d"), np.arange(451))])
    text, number = found.codes.T
    assert text[-1] == number[-1] == MISSING
    assert text[400] == OTHER + 1
    assert (text[:400] == OTHER).sum() == 400 - 252
    assert (np.diff(number[:400]) >= 0).all()
    assert set(number[400:450].tolist()).isdisjoint(number[:400].tolist())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), several=st.integers(1, 900), often=st.integers(2, 60))
def test_a_code_that_is_said_to_be_one_value_is_that_of_one_number(tmp_path_factory, seed, several, often):
    path = tmp_path_factory.mktemp("numbers") / "d"
    random = np.random.default_rng(seed)
    numbers = np.concatenate([random.normal(size=several).round(2), [0.125] * often, [math.nan] * 3])
    write_table(path, pyarrow.table({"x": numbers}), {})
    found = encode(["x"], [(str(path), np.arange(len(numbers)))])
    codes = found.codes[:, 0]
    held = {code: (found.held(0, code), set(numbers[codes == code].tolist())) for code in set(codes.tolist())}
    assert {what for what, values in held.values() if len(values) == 1 and 0.125 in values} == {"one value"}
    assert all(what == "one range" for code, (what, values) in held.items() if code != MISSING and len(values) > 1)
    assert held[MISSING][0] == "no value"
    if len(np.unique(numbers[:-3])) <= 253:
        assert {what for what, _ in held.values()} == {"one value", "no value"}


# Too little


def test_too_few_rows_are_inconclusive(screen, people):
    columns = people(rows=1000)
    assert screen(columns).status in ("pass", "warn")
    found = screen({name: values[1:] for name, values in columns.items()})
    assert found.status == "inconclusive"
    assert {f"max_{name}" for name in found.checks} == ALONE
    assert found.checks[TRIGGER].message.endswith("the dataset has 999 rows to judge by, fewer than 1,000.")
    assert not len(found.suspects)


def test_a_small_baseline_is_inconclusive(screen, people):
    found = screen(people(), baseline=people(rows=400))
    assert found.status == "inconclusive"
    assert "the baseline has 400 rows to judge by" in found.checks[SHIFT].message


@pytest.mark.parametrize(("least", "status"), [(60, "pass"), (61, "inconclusive")])
def test_a_class_with_too_few_rows_is_named_and_left_out(screen, people, least, status):
    columns = people()
    columns["label"][:60] = 2
    columns["label"][60:][columns["label"][60:] == 2] = 1
    found = screen(columns, {"max_label_shift": 3}, baseline=columns, min_class_rows=least)
    assert found.status == status
    if status == "inconclusive":
        check = found.checks[SIZE]
        assert check.message == "The class 2 has 60 rows, fewer than 61: its rows are not screened."
        assert found.checks[SHIFT].samples == 3940


def test_one_class_with_enough_rows_is_not_enough(screen, people):
    columns = people()
    columns["label"][:] = 0
    columns["label"][:9] = 1
    found = screen(columns)
    assert found.status == "inconclusive"
    assert "fewer than two classes have enough rows" in found.checks[NOISE].message


def test_no_class_with_enough_rows_is_inconclusive(screen, people):
    few = screen(people(80), min_class_rows=100)
    assert few.status == "inconclusive"
    assert few.checks["label_noise"].message == "Label noise: the dataset has 0 rows to judge by, fewer than 1,000."
    other = people()
    beside = screen(people(), None, other | {"label": other["label"] + 5})
    assert [check.scope["class"] for check in beside.verdict.checks if check.name == "class_size"] == [*"0156"]


def test_constant_features_are_inconclusive(screen):
    found = screen({"x": [1] * 2000, "label": [0, 1] * 1000})
    assert "every feature has the same value in all rows" in found.checks[NOISE].message


# Same again


def test_the_same_seed_gives_the_same_verdict_and_suspects(screen, people, flip):
    columns = flip(people(), np.random.default_rng(5).random(4000) < 0.05)
    first, second = (screen(columns, baseline=people(seed=1), seed=7) for _ in range(2))
    assert first.verdict.checks == second.verdict.checks
    assert first.suspects.equals(second.suspects)
    other = screen(columns, baseline=people(seed=1), seed=8)
    assert first.verdict.checks != other.verdict.checks


# Bad input

GOOD = {"x": list(range(1200)), "when": [datetime.date(2020, 1, 1)] * 1200, "label": ["a", "b"] * 600}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"limits": {}}, "limits must hold at least one limit; got none."),
        ({"limits": {"max_label_nois": 1}}, "limits must hold known limits; got 'max_label_nois'.\nHint: Did you mean"),
        ({"limits": {"max_label_noise": 1.5}}, "The limit 'max_label_noise' must be a number from 0 to 1; got 1.5."),
        ({"limits": {"max_label_noise": True}}, "The limit 'max_label_noise' must be a number from 0 to 1; got True."),
        ({"limits": {"max_label_noise": math.nan}}, "must be a number from 0 to 1; got nan."),
        ({"limits": {"max_label_shift": 0.2}}, "max_label_shift must be given together with a baseline; got none."),
        ({"target": "labl"}, "target must be a column of the dataset; got 'labl'.\nHint: Did you mean 'label'?"),
        ({"target": "x"}, "target must have at most 20 classes; the column 'x' has 1,200 values.\nHint: Of a number"),
        ({"target": "when"}, "target must hold classes: text, booleans or few numbers; the column 'when' holds date32"),
        ({"excluded_columns": ["y"]}, "excluded_columns must be a column of the dataset; got 'y'."),
        ({"excluded_columns": ["x", "when"]}, "The dataset must hold a feature beside the target and excluded_columns"),
        ({"min_rows": 99}, "min_rows must be at least 100; got 99."),
        ({"min_class_rows": 9}, "min_class_rows must be at least 10; got 9."),
        ({"confidence": 1}, "confidence must be above 0 and below 1; got 1."),
        ({"seed": -1}, "seed must be a whole number from 0 to"),
        ({"baseline": {"label": ["a", "b"], "x": [1, 2]}}, "must hold the columns of the dataset; it lacks 'when'."),
        (
            {"baseline": GOOD | {"x": ["1"] * 1200}},
            "The column 'x' must hold text in both the dataset and the baseline",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(screen, tmp_path, given, message):
    with pytest.raises(InputError) as error:
        screen(GOOD, **given)
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * 1200, "target must have at least two values; the column 'label' has 1."),
        ([None] * 1200, "target must have at least two values; the column 'label' has 0."),
        ([f"n{place}" for place in range(1200)], "target must have at most 50 classes; the column 'label' has 1,200"),
        ([], "target must have at least two values; the column 'label' has 0."),
    ],
)
def test_labels_that_are_no_classes_are_refused(screen, labels, message):
    table = pyarrow.table({"x": np.arange(len(labels)), "label": pyarrow.array(labels, pyarrow.string())})
    with pytest.raises(InputError) as error:
        screen(table)
    assert message in str(error.value)


def test_changed_and_absent_data_are_refused(screen, stored, tmp_path):
    dataset = stored(GOOD)
    dataset.metadata["digest"] = "sha256:" + "0" * 64
    with pytest.raises(IntegrityError, match="The dataset must have the digest"):
        screen(dataset)
    with pytest.raises(MissingInputError):
        screen(dsl.Dataset(uri=str(tmp_path / "absent")))


def test_excluded_columns_are_not_looked_at(screen, people):
    rows = np.random.default_rng(8).choice(4000, 100, replace=False)
    columns = stamped(people(), rows, height=250.0)
    limits = {"max_trigger_strength": 0.4}
    assert screen(columns, limits).status == "fail"
    found = screen(columns, limits, excluded_columns=["height"])
    assert found.status == "pass"
    assert json.dumps(found.verdict.parameters["excluded_columns"]) == '["height"]'
