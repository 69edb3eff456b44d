import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_hallmark.contracts.audit import GENESIS, append, records, verify
from kfp_hallmark.contracts.documents import canonical, value_digest
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def log(tmp_path):
    """A log of four lines."""
    for number in range(4):
        append(tmp_path / "audit.jsonl", {"run": f"run-{number}", "state": "SUCCEEDED"})
    return tmp_path / "audit.jsonl"


def test_a_log_is_made_where_there_is_none(tmp_path):
    last = append(tmp_path / "deep" / "audit.jsonl", {"run": "first"})
    line = records(tmp_path / "deep" / "audit.jsonl")[0]
    assert (line["index"], line["previous"], line["record"], line["hash"]) == (0, GENESIS, {"run": "first"}, last)


def test_every_line_holds_the_hash_of_the_one_before(log):
    lines = records(log)
    assert [line["index"] for line in lines] == [0, 1, 2, 3]
    assert [line["previous"] for line in lines] == [GENESIS, *(line["hash"] for line in lines[:3])]
    assert verify(log) == (4, lines[3]["hash"])


def test_an_empty_log_is_whole(tmp_path):
    (tmp_path / "audit.jsonl").touch()
    assert verify(tmp_path / "audit.jsonl") == (0, GENESIS)
    assert verify(tmp_path / "audit.jsonl", GENESIS) == (0, GENESIS)


def test_a_missing_log_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="An audit log must be a file"):
        verify(tmp_path / "audit.jsonl")


def rehash(lines):
    """Return lines whose second was changed and then given the hash that fits it."""
    return [lines[0], again(lines[1], record={"run": "run-1", "state": "FAILED"}), *lines[2:]]


def again(line, **changes):
    """Return a line with fields changed, or left out when None, and the hash that fits."""
    value = {key: field for key, field in (json.loads(line) | changes).items() if field is not None and key != "hash"}
    return canonical(value | {"hash": value_digest(value)})


BREAKS = {
    "changed": (lambda x: [x[0], x[1].replace(b"SUCCEEDED", b"FAILED"), *x[2:]], "line 2 was changed"),
    "changed and hashed anew": (rehash, "line 3 does not follow the line before it"),
    "removed first": (lambda x: x[1:], "line 1 is not the one that belongs there"),
    "removed": (lambda x: [x[0], *x[2:]], "line 2 is not the one that belongs there"),
    "inserted copy": (lambda x: [*x[:2], x[1], *x[2:]], "line 3 is not the one that belongs there"),
    "inserted blank": (lambda x: [*x[:2], b"", *x[2:]], "line 3 cannot be read"),
    "swapped": (lambda x: [x[0], x[2], x[1], x[3]], "line 2 is not the one that belongs there"),
    "spaces": (lambda x: [x[0].replace(b":", b": ", 1), *x[1:]], "line 1 is not in the canonical form"),
    "carriage return": (lambda x: [x[0] + b"\r", *x[1:]], "line 1 is not in the canonical form"),
    "a key twice": (lambda x: [b'{"hash":"",' + x[0][1:], *x[1:]], "line 1 is not in the canonical form"),
    "no JSON": (lambda x: [*x[:3], b"\xff"], "line 4 cannot be read"),
    "a number for a whole number": (lambda x: [x[0], again(x[1], index=1.0), *x[2:]], "line 2 is not the one that"),
    "no record": (lambda x: [*x[:3], again(x[3], record=None)], "line 4 is not in the canonical form"),
    "one field more": (lambda x: [*x[:3], again(x[3], more=1)], "line 4 is not in the canonical form"),
    "deep JSON": (lambda x: [*x[:3], b"[" * 100_000], "line 4 cannot be read"),
    "a list": (lambda x: [*x[:3], b"[]"], "line 4 cannot be read"),
    "not a number": (lambda x: [*x[:3], b'{"index":NaN}'], "line 4 cannot be read"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_line_is_named_and_nothing_is_built_on_it(log, name):
    change, message = BREAKS[name]
    broken = b"\n".join(change(log.read_bytes().splitlines())) + b"\n"
    log.write_bytes(broken)
    with pytest.raises(IntegrityError, match=message):
        verify(log)
    with pytest.raises(IntegrityError, match=message):
        append(log, {"run": "next"})
    assert log.read_bytes() == broken


def test_a_half_line_is_refused(log):
    log.write_bytes(log.read_bytes()[:-10])
    with pytest.raises(IntegrityError, match="must end with a whole line"):
        append(log, {"run": "next"})


def test_a_cut_tail_shows_by_a_hash_kept_elsewhere(log):
    kept = verify(log)[1]
    append(log, {"run": "later"})
    assert verify(log, kept)[0] == 5
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    assert verify(log)[0] == 3
    with pytest.raises(IntegrityError, match="it was cut or replaced"):
        verify(log, kept)


def test_lines_forged_at_the_end_show_by_a_hash_kept_elsewhere_alone(log):
    kept = verify(log)[1]
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:3]) + again(lines[3], record={"run": "forged"}) + b"\n")
    assert verify(log)[0] == 4
    with pytest.raises(IntegrityError, match="it was cut or replaced"):
        verify(log, kept)


def test_a_full_disk_leaves_the_log_as_it_was(log):
    before = log.read_bytes()
    code = (
        "import resource, signal, sys; from kfp_hallmark.contracts.audit import append\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
        "append(sys.argv[1], {'run': 'x' * 500})"
    )
    command = [sys.executable, "-c", code, str(log), str(len(before) + 100)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 1
    assert "OSError" in found.stderr
    assert log.read_bytes() == before
    append(log, {"run": "next"})


@pytest.mark.parametrize("uri", ["gs://bucket/audit.jsonl", "s3://bucket/audit.jsonl", "file:///audit.jsonl"])
def test_a_uri_is_refused(uri):
    with pytest.raises(InputError, match="must be a local or mounted file"):
        append(uri, {})


def test_a_record_that_is_no_json_is_refused_before_a_log_is_made(tmp_path):
    with pytest.raises(InputError, match="must be a JSON value"):
        append(tmp_path / "audit.jsonl", {"run": object()})
    assert not list(tmp_path.iterdir())


def test_processes_that_append_at_once_lose_nothing(tmp_path):
    log = tmp_path / "audit.jsonl"
    code = (
        "import sys; from kfp_hallmark.contracts.audit import append\n"
        "for number in range(25): append(sys.argv[1], {'writer': sys.argv[2], 'number': number})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(log), str(writer)]) for writer in range(4)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0, 0]
    found = sorted((line["record"]["writer"], line["record"]["number"]) for line in records(log))
    assert found == [(str(writer), number) for writer in range(4) for number in range(25)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(st.text(), JSON, max_size=3), min_size=1, max_size=4), st.data())
def test_any_records_make_a_whole_log_and_no_changed_byte_goes_unnoticed(tmp_path_factory, entries, data):
    log = tmp_path_factory.mktemp("log") / "audit.jsonl"
    hashes = [append(log, entry) for entry in entries]
    assert verify(log) == (len(entries), hashes[-1])
    content = bytearray(log.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    log.write_bytes(content)
    with pytest.raises(IntegrityError):
        verify(log)
