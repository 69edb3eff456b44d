"""What is signed by an allowed key is loaded; whatever else is refused, and nothing is written."""

import base64
import json
import shutil
from datetime import UTC, datetime, timedelta

import pyarrow
import pyarrow.parquet
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kfp_hallmark.components.data.load_dataset.load import load
from kfp_hallmark.contracts.dataset import dataset_metadata
from kfp_hallmark.contracts.dataset_signature import key_id, sign_file
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError


def public(key) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
def key(tmp_path):
    """A private key whose file is there as `key.pem`."""
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


@pytest.fixture
def source(tmp_path, key):
    """A signed folder of two files, and `other`, another such folder."""
    for name, values in (("data", [1, 2, 3]), ("other", [1, 2, 4])):
        folder = tmp_path / name
        (folder / "deep").mkdir(parents=True)
        pyarrow.parquet.write_table(pyarrow.table({"a": values}), folder / "one.parquet")
        pyarrow.parquet.write_table(pyarrow.table({"a": [7]}), folder / "deep" / "two.parquet")
        sign_file(str(folder), str(tmp_path / "key.pem"))
    return tmp_path / "data"


@pytest.fixture
def refused(output):
    """Load what must be refused; return the message, having seen that nothing was written."""

    def load_it(uri, keys, error=IntegrityError):
        dataset = output("dataset")
        with pytest.raises(error) as caught:
            load(str(uri), dataset, allowed_keys=keys)
        assert not (output("dataset").metadata or list(uri.parent.glob("dataset*")))
        return str(caught.value)

    return load_it


def test_a_signed_folder_is_loaded(source, key, output):
    dataset = output("dataset")
    stranger = Ed25519PrivateKey.generate()
    digest, rows = load(str(source) + "/", dataset, allowed_keys=[public(stranger), public(key)])
    assert rows == 4
    assert dataset.metadata["source_signed_by"] == key_id(key.public_key())
    assert dataset_metadata(dataset.path)["source_signed_by"] == key_id(key.public_key())
    assert dataset.metadata["source"] == str(source) + "/"
    plain = output("plain")
    assert load(str(source), plain)[0] != digest
    assert "source_signed_by" not in plain.metadata


def test_a_signed_file_is_loaded_by_a_key_in_a_file(tmp_path, key, output):
    (tmp_path / "rows.csv").write_text("a\n1\n2\n")
    (tmp_path / "public.pem").write_text(public(key))
    sign_file(str(tmp_path / "rows.csv"), str(tmp_path / "key.pem"))
    keys = [(tmp_path / "public.pem").as_uri()]
    assert load(str(tmp_path / "rows.csv"), output("dataset"), allowed_keys=keys)[1] == 2


def test_a_signature_elsewhere_is_read_too(source, key, output):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(source), "/signed/data", recursive=True)
    memory.put(str(source) + ".sig.json", "/signed/data.sig.json")
    assert load("memory://signed/data", output("dataset"), allowed_keys=[public(key)])[1] == 4
    memory.rm("/signed/data.sig.json")
    with pytest.raises(IntegrityError, match=r"there is no 'data\.sig\.json' beside it"):
        load("memory://signed/data", output("dataset"), allowed_keys=[public(key)])
    memory.rm("/signed", recursive=True)


def test_another_key(source, refused):
    stranger = Ed25519PrivateKey.generate()
    message = refused(source, [public(stranger)])
    assert f"must be signed by an allowed key, {key_id(stranger.public_key())}; it is not." in message


def test_no_signature(source, key, refused):
    source.with_name("data.sig.json").unlink()
    message = refused(source, [public(key)])
    assert "must be signed by an allowed key; there is no 'data.sig.json' beside it." in message
    assert "hallmark dataset sign DATA --key KEY.pem" in message


def test_a_changed_byte(source, key, refused):
    content = bytearray((source / "deep" / "two.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (source / "deep" / "two.parquet").write_bytes(content)
    assert "just the files that were signed; changed: 'deep/two.parquet'." in refused(source, [public(key)])


def test_an_added_file(source, key, refused):
    shutil.copy(source / "one.parquet", source / "three.parquet")
    assert "just the files that were signed; not signed: 'three.parquet'." in refused(source, [public(key)])


def test_a_removed_and_a_renamed_file(source, key, refused):
    (source / "one.parquet").rename(source / "uno.parquet")
    message = refused(source, [public(key)])
    assert "just the files that were signed; not signed: 'uno.parquet'; missing: 'one.parquet'." in message


def test_the_signature_of_another_dataset(source, key, refused):
    shutil.copy(source.with_name("other.sig.json"), source.with_name("data.sig.json"))
    assert "just the files that were signed; changed: 'one.parquet'." in refused(source, [public(key)])


def test_other_files_under_the_same_signature(source, key, refused):
    path = source.with_name("data.sig.json")
    envelope = json.loads(path.read_text())
    envelope["payload"] = json.loads(source.with_name("other.sig.json").read_text())["payload"]
    path.write_text(json.dumps(envelope))
    assert "must be signed by an allowed key" in refused(source, [public(key)])


@pytest.mark.parametrize("change", [{"payloadType": "text/plain"}, {"payload": "§"}, {"signatures": [{"sig": 1}]}])
def test_what_is_no_envelope(source, key, refused, change):
    path = source.with_name("data.sig.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert "must be a DSSE envelope of a dataset; it is none." in refused(source, [public(key)])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"payload": ' + "[" * 100_000])
def test_what_is_no_json_of_one(source, key, refused, text):
    source.with_name("data.sig.json").write_text(text)
    assert "must be a DSSE envelope of a dataset; it is none." in refused(source, [public(key)])


def test_no_signatures_at_all(source, key, refused):
    path = source.with_name("data.sig.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"signatures": []}))
    assert "must be signed by an allowed key" in refused(source, [public(key)])


def test_a_signature_of_something_else(source, key, refused):
    """The key signed another kind of statement, as it may for another purpose."""
    payload = json.dumps({"_type": "https://in-toto.io/Statement/v1", "predicateType": "x", "subject": []}).encode()
    kind = b"application/vnd.in-toto+json"
    signature = key.sign(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    envelope = {
        "payloadType": kind.decode(),
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
    source.with_name("data.sig.json").write_text(json.dumps(envelope))
    assert "must state the files of a dataset; it does not." in refused(source, [public(key)])


@pytest.mark.parametrize("name", ["a[1].csv", "a*.csv", "100 %23 é.csv"])
def test_names_that_are_no_patterns(tmp_path, key, output, name):
    (tmp_path / name).write_text("a\n1\n2\n")
    (tmp_path / "a1.csv").write_text("a\n9\n")
    sign_file(str(tmp_path / name), str(tmp_path / "key.pem"))
    assert load(str(tmp_path / name), output("dataset"), allowed_keys=[public(key)])[1] == 2
    folder = tmp_path / name.removesuffix(".csv")
    folder.mkdir()
    (tmp_path / name).rename(folder / "rows[2].parquet")
    pyarrow.parquet.write_table(pyarrow.table({"a": [1, 2, 3]}), folder / "rows[2].parquet")
    sign_file(str(folder), str(tmp_path / "key.pem"))
    assert load(str(folder), output("dataset"), allowed_keys=[public(key)])[1] == 3


@pytest.mark.parametrize("target", ["one.parquet", ".", "nothing"])
def test_an_added_link(source, key, refused, target):
    (source / "link").symlink_to(source / target)
    assert "An artifact must hold no symbolic links; got" in refused(source, [public(key)])


def test_a_linked_folder_is_signed_by_its_own_name(source, key, output, tmp_path):
    (tmp_path / "latest").symlink_to(source)
    sign_file(str(tmp_path / "latest" / "deep" / ".."), str(tmp_path / "key.pem"))
    assert (tmp_path / "latest.sig.json").is_file()
    assert load(str(tmp_path / "latest"), output("dataset"), allowed_keys=[public(key)])[1] == 4


def state(source, key, predicate):
    """Sign data with another predicate."""
    path = source.with_name("data.sig.json")
    statement = json.loads(base64.b64decode(json.loads(path.read_text())["payload"])) | {"predicate": predicate}
    payload, kind = json.dumps(statement).encode(), b"application/vnd.in-toto+json"
    signature = key.sign(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    envelope = {
        "payloadType": kind.decode(),
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
    path.write_text(json.dumps(envelope))


def test_what_was_signed_long_ago_is_as_old_whatever_its_files_say(source, key, output):
    created = datetime.now(UTC) - timedelta(hours=30)
    state(source, key, {"created": created.isoformat()})
    dataset = output("dataset")
    with pytest.raises(InputError, match=r"must have changed within 24 hours; it last changed 30\.0 hours ago"):
        load(str(source), dataset, max_age_hours=24, allowed_keys=[public(key)])
    load(str(source), dataset, max_age_hours=31, allowed_keys=[public(key)])
    assert dataset.metadata["snapshot_time"] == created.strftime("%Y-%m-%dT%H:%M:%SZ")
    load(str(source), dataset, max_age_hours=24)


def test_what_changed_before_it_was_signed_is_as_old_as_that(source, key, output):
    state(source, key, {"created": (datetime.now(UTC) + timedelta(hours=1)).isoformat()})
    dataset = output("dataset")
    load(str(source), dataset, max_age_hours=24, allowed_keys=[public(key)])
    changed = max(path.stat().st_mtime for path in source.rglob("*.parquet"))
    assert dataset.metadata["snapshot_time"] == datetime.fromtimestamp(changed, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("predicate", [{}, None, {"created": "yesterday"}, {"created": 5}])
def test_a_statement_without_its_time(source, key, refused, predicate):
    state(source, key, predicate)
    assert "must state the files of a dataset; it does not." in refused(source, [public(key)])


def test_keys_that_are_none(source, key, refused, output, tmp_path):
    assert "allowed_keys must be at least one key; got none." in refused(source, [], InputError)
    other = public(generate_ec_key(SECP256R1()))
    assert "an Ed25519 public key in PEM; number 2 is none." in refused(source, [public(key), other], InputError)
    assert "in PEM; number 1 is none." in refused(source, ["-----BEGIN x"], InputError)
    assert "in PEM; number 1 is none." in refused(source, ["-----BEGIN \ud800"], InputError)
    assert "must be PEM or a file; number 1 is int." in refused(source, [5], InputError)
    missing = refused(source, [str(tmp_path / "none.pem")], MissingInputError)
    assert "An allowed key must be PEM or a file; number 1 is neither." in missing
    assert "number 1 cannot be read." in refused(source, ["nothing://x"], InputError)
    with pytest.raises(InputError) as caught:
        load(str(source), output("dataset"), allowed_keys=["nothing://x"])
    assert caught.value.__suppress_context__
    assert "in PEM; number 1 is none." in refused(source, [str(tmp_path / "key.pem")], InputError)


def test_what_is_verified_is_what_is_read(source, key, output):
    """A file that is exchanged after it was verified is not read."""

    class Late:
        """Once it is asked where to write, a file of the source is exchanged."""

        def __init__(self):
            self.metadata = {}

        @property
        def path(self):
            pyarrow.parquet.write_table(pyarrow.table({"a": [9] * 50}), source / "one.parquet")
            return output("dataset").path

    assert load(str(source), Late(), allowed_keys=[public(key)])[1] == 4
