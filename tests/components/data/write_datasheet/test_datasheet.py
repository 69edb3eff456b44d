import pyarrow
import pytest

from kfp_hallmark.components.data.write_datasheet.fields import FIELDS, SECTIONS
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

OTHER, SIGNER = "sha256:" + "9" * 64, "sha256:" + "e" * 64


def row_of(markdown, name):
    """Return the cells of a table's row by its first."""
    return next(line for line in markdown.splitlines() if line.startswith(f"| {name} |")).strip("| ").split(" | ")


def test_all_that_was_said_is_told(written, statement):
    result = written(statement)
    assert result.missing == 0
    for said in statement.values():
        for text in [said] if isinstance(said, str) else said:
            assert text in result.page
            assert text.replace("_", "\\_") in result.markdown
    assert "not said" not in result.page
    assert "Not said" not in result.markdown
    assert "Every field is said." in result.page


def test_what_nobody_said_is_marked_in_its_place(written, statement):
    del statement["consent"]
    statement |= {"funding": None, "errors": []}
    result = written(statement)
    assert result.missing == 3
    assert "3 of 50 fields that a person must say are missing." in result.markdown
    meaning = "whether and how they consented, and how they can revoke it"
    assert f"- **Consent**: **Not said** ({meaning})" in result.markdown
    assert f'<dt>Consent</dt><dd><span class="badge warn">not said</span> <span class="note">{meaning}' in result.page
    assert result.page.count(">not said<") == result.markdown.count("**Not said**") == 3


def test_without_a_statement_all_is_missing(written):
    result = written()
    assert result.missing == len(FIELDS) == 50
    assert result.page.count(">not said<") == 50
    assert "# Datasheet: a dataset without a name\n" in result.markdown


def test_all_seven_sections_are_there(written):
    markdown = written().markdown
    headings = [line.removeprefix("## ") for line in markdown.splitlines() if line.startswith("## ")]
    assert headings == [*SECTIONS, "Verdicts"]
    assert len(SECTIONS) == 1 + 7


def test_what_is_measured(written):
    markdown = written().markdown
    assert "240 rows, 7 columns." in markdown
    assert "- **Rows that equal an earlier one**: 40\n" in markdown
    assert "- **Columns that lack values**: 1\n" in markdown
    # The squares of 0 to 199 over 1000, 0 to 39 twice; of 240 rows the 24th, 120th and 216th.
    assert row_of(markdown, "height")[2:3] == ["0"]
    assert row_of(markdown, "height")[5:8] == ["150.1", "156.2", "180.6"]
    # 170 values, and 10 of them again: 30 to 39 twice.
    assert row_of(markdown, "visits")[:3] == ["visits", "integer", "25"]
    assert row_of(markdown, "visits")[5:8] == ["38", "109", "181"]
    assert row_of(markdown, "member")[1:4] == ["boolean", "0", "0.4167"]
    assert row_of(markdown, "born")[1:5] == ["0", "1990-01-12 00:00", "1990-03-21 00:00", "1990-06-25 00:00"]
    assert row_of(markdown, "seen")[2] == "2021-01-01 11:00"
    assert row_of(markdown, "town")[1:4] == ["0", "3", "66.67"]
    assert row_of(markdown, "secret")[1:4] == ["0", "200", "0.83"]


def test_the_mean_is_that_of_the_values(written, table):
    import numpy

    values = table["height"].to_numpy()
    assert row_of(written().markdown, "height")[3:5] == [f"{numpy.mean(values):.4g}", f"{numpy.std(values):.4g}"]


def test_the_shape_is_drawn_by_equal_width(written):
    # The squares of 0 to 62 lie in the first tenth of the range, 0 to 39 twice: 103 rows; those of 63 to 88 in the
    # second: 26; those of 89 to 108: 20; then fewer. A bar is so many sevenths of the highest.
    assert row_of(written().markdown, "height")[8] == "█▃▂▂▂▂▂▂▂▂"
    # 140 and 100.
    assert row_of(written().markdown, "member")[8] == "█▁▁▁▁▁▁▁▁▆"


def test_where_it_is_from(written):
    known = {"source": "gs://b/x.csv", "source_digest": OTHER, "snapshot_time": "2026-10-31T08:00:00Z"}
    known["source_signed_by"] = SIGNER
    result = written(metadata=known)
    assert "- **Source**: gs://b/x.csv\n" in result.markdown
    assert f"- **Digest of the source**: {OTHER}\n- **Key that signed the source**: {SIGNER}\n" in result.markdown
    assert "- **Source last changed**: 2026-10-31T08:00:00Z" in result.markdown
    assert "- **Made from, nearest first**: \n  - sha256:5555" in result.markdown
    assert f"- **Digest**: {result.digest}\n" in result.markdown
    bare = written(lineage=(), metadata={"snapshot_time": None}).markdown
    assert "- **Source last changed**: The dataset does not say." in bare
    assert "- **Made from, nearest first**: The dataset does not say." in bare


def test_what_was_asked_of_a_database_is_told(written):
    known = {"source": "duckdb:///x", "snapshot_time": "2026-10-31T08:00:00Z", "source_query": "SELECT a FROM t"}
    told = written(metadata=known).markdown
    assert "- **Source asked**: 2026-10-31T08:00:00Z\n- **Query**: SELECT a FROM t\n" in told
    assert "DVC" not in told
    assert "parameters" not in written(metadata=known | {"source_parameters": {}}).markdown
    told = written(metadata=known | {"source_parameters": {"until": "2025", "least": 2.0}}).markdown
    assert '**: SELECT a FROM t\n- **Its parameters**: \\{"least": 2.0, "until": "2025"\\}\n' in told


def test_what_dvc_recorded_is_told(written):
    known = {"source_dvc_md5": "ab12", "source_dvc_repository": "https://example.com/r", "source_dvc_revision": "cd34"}
    told = written(metadata=known).markdown
    wanted = [
        "MD5 that DVC recorded**: ab12",
        "Imported by DVC from**: https://example.com/r",
        "Revision there**: cd34",
    ]
    assert "".join(f"- **{line}\n" for line in wanted) in told
    assert "Query" not in told


def test_groups_of_sensitive_columns(written):
    result = written(sensitive_columns=["town"], min_group_size=75)
    assert row_of(result.markdown, "Bonn") == ["Bonn", "160", "66.67"]
    assert row_of(result.markdown, "Köln \\| West") == ["Köln \\| West", "75", "31.25"]
    assert row_of(result.markdown, "(smaller groups)") == ["(smaller groups)", "5", "2.08"]
    assert "Ulm" not in result.markdown + result.page
    fewer = written(sensitive_columns=["town"], min_group_size=76).markdown
    assert "Köln" not in fewer
    assert row_of(fewer, "(smaller groups)")[1] == "80"


def test_rows_without_a_group_are_counted(written):
    data = pyarrow.table({"sex": [1.0, 2.0, 2.0, None, float("nan")], "who": ["a", None, "b", "b", "b"]})
    markdown = written(data=data, sensitive_columns=["sex", "who"], min_group_size=2).markdown
    assert row_of(markdown, "2")[1] == "2"
    assert row_of(markdown, "(smaller groups)")[1] == "1"
    assert row_of(markdown, "(missing)")[1] == "2"
    assert row_of(markdown.rpartition("| who |")[2], "b")[1] == "3"


def test_no_text_of_a_row_is_shown(written):
    result = written()
    for text in ("person-", "Bonn", "Köln", "Ulm"):
        assert text not in result.page + result.markdown + str(result.croissant)


@pytest.mark.parametrize(("least", "told"), [(5, True), (6, False)])
def test_little_is_told_of_few_values(written, least, told):
    data = pyarrow.table({"x": [1.25, 2.5, 2.5, 7.75, 9.0], "t": pyarrow.array([10**15] * 5, "timestamp[us]")})
    markdown = written(data=data, min_group_size=least).markdown
    assert (row_of(markdown, "x")[3] == "4.6") is told
    assert (row_of(markdown, "x")[3:] == ["–"] * 6) is not told
    assert ("2001-09-09" in markdown) is told


def test_columns_that_hold_nothing_or_infinity(written):
    data = pyarrow.table({"none": [None] * 60, "all": [float("inf")] * 60, "some": [float("-inf"), *range(59)]})
    markdown = written(data=data).markdown
    assert row_of(markdown, "none")[2:] == ["100", *["–"] * 6]
    assert row_of(markdown, "all")[2:] == ["0", *["–"] * 6]
    assert row_of(markdown, "some")[3] == "29"


def test_one_value_is_one_bar(written):
    assert row_of(written(data=pyarrow.table({"x": [3] * 60})).markdown, "x")[8] == "█"


@pytest.mark.parametrize("role", ["dataset", "delivered"])
def test_a_verdict_on_the_dataset(written, role):
    subjects = {"dataset": OTHER} | {role: None}
    result = written(checked=subjects)
    assert "validate\\_dataset, of 2" in result.markdown
    assert "| fail | psi | feature town | 0.4 | ≤ 0.25 |" in result.markdown
    assert '<span class="badge fail">fail</span>' in result.page


def test_the_verdict_by_a_suite(written):
    result = written(checked={"dataset": None}, gate="check_expectations")
    assert "check\\_expectations, of 2" in result.markdown
    assert "check_expectations, of 2" in result.page
    assert "| fail | psi |" in result.markdown


@pytest.mark.parametrize(
    ("gate", "role"), [("validate_dataset", "dataset_verdict"), ("check_expectations", "expectations_verdict")]
)
def test_a_verdict_on_other_data_is_refused(written, tmp_path, gate, role):
    with pytest.raises(IntegrityError, match=f"The {role} must be about the dataset given, sha256:.*; it is"):
        written(checked={"dataset": OTHER, "baseline": None}, gate=gate)
    assert not (tmp_path / "out").exists()


def test_a_changed_dataset_is_refused(written):
    with pytest.raises(IntegrityError, match=r"The dataset must have the digest sha256:9.*; got sha256:"):
        written(metadata={"digest": OTHER})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"purposes": "x"}, r"known fields; got 'purposes'\.\nHint: Did you mean 'purpose'\?"),
        ({"purpose": ["x"]}, r"The field 'purpose' of the statement must be text; got list\."),
        (
            {"release_date": "May"},
            r"The field 'release_date' of the statement must be a date \(YYYY-MM-DD\); got str\.",
        ),
        (
            "release_date: 2026-11-02 10:00:00",
            r"The field 'release_date' .* must be a date \(YYYY-MM-DD\); got datetime",
        ),
    ],
)
def test_a_bad_statement_raises_before_anything_is_written(written, tmp_path, said, message):
    with pytest.raises(InputError, match=message):
        written(said)
    assert not (tmp_path / "out").exists()


def test_a_date_may_be_written_as_yaml_writes_it(written):
    assert "**Release date**: 2026-11-02" in written("release_date: 2026-11-02").markdown


def test_bad_settings(written, tmp_path):
    with pytest.raises(InputError, match=r"sensitive_columns must be a column of the dataset; got 'twon'\.\nHint: Did"):
        written(sensitive_columns=["twon"])
    with pytest.raises(InputError, match=r"The sensitive column 'secret' must have at most 100 values; it has more\."):
        written(sensitive_columns=["secret"])
    with pytest.raises(InputError, match=r"The sensitive column 'height' must have at most 100 values; it has more\."):
        written(sensitive_columns=["height"])
    with pytest.raises(InputError, match=r"columns of text, numbers or booleans; 'born' holds times\."):
        written(sensitive_columns=["born"])
    with pytest.raises(InputError, match=r"min_group_size must be at least 1; got 0\."):
        written(min_group_size=0)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("values", "fits"), [(100, True), (101, False)])
@pytest.mark.parametrize("kind", [int, str])
def test_a_sensitive_column_has_at_most_a_hundred_values(written, kind, values, fits):
    data = pyarrow.table({"code": [kind(value) for value in range(values)]})
    if fits:
        assert row_of(written(data=data, sensitive_columns=["code"], min_group_size=1).markdown, "99")[1] == "1"
    else:
        with pytest.raises(InputError, match="must have at most 100 values"):
            written(data=data, sensitive_columns=["code"])


def test_a_dataset_that_is_not_there(written, tmp_path, statement):
    from kfp import dsl

    from kfp_hallmark.components.data.write_datasheet.datasheet import write_sheet

    out = dsl.Artifact(uri=str(tmp_path / "x"))
    with pytest.raises(MissingInputError):
        write_sheet(dsl.Dataset(uri=str(tmp_path / "none")), {}, None, [], 1, out, out, out)


def test_many_columns_are_told_in_part(written):
    data = pyarrow.table({f"c{place:03}": [place] for place in range(203)})
    result = written(data=data)
    assert "3 more such columns are in the Croissant metadata." in result.markdown
    assert "c199" in result.markdown
    assert "c200" not in result.markdown
    assert len(result.croissant["recordSet"][0]["field"]) == 203


def test_what_is_said_cannot_break_out_of_its_form(written):
    result = written({"name": "<script>alert(1)</script>", "keywords": ["a | b", "**c**"]})
    assert "<script" not in result.page + result.markdown
    assert "\n  - a \\| b\n  - \\*\\*c\\*\\*\n" in result.markdown


def test_the_metadata_of_the_document(written):
    result = written()
    found = artifact_digest(result.out / "croissant.json")
    assert result.metadata == {"digest": found, "dataset_digest": result.digest}
