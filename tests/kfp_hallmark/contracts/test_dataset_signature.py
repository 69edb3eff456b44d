"""The signature is a DSSE envelope as the reference library reads it."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from kfp_hallmark.contracts.dataset_signature import key_id, sign, sign_file
from kfp_hallmark.contracts.digest import file_digest
from kfp_hallmark.errors import InputError, MissingInputError

ENVIRONMENT = "release"


@pytest.fixture
def key():
    return Ed25519PrivateKey.generate()


def pem(key, encryption=None):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def reference(key):
    return SSlibKey(
        key_id(key.public_key()), "ed25519", "ed25519", {"public": key.public_key().public_bytes_raw().hex()}
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "a.csv").write_text("a\n1\n")
    (tmp_path / "data" / "deep" / "ü.csv").write_text("a\n2\n")
    return tmp_path / "data"


def test_the_reference_library_verifies_it(folder, key):
    envelope = Envelope.from_dict(sign(folder, pem(key)))
    assert list(envelope.verify([reference(key)], 1)) == [key_id(key.public_key())]
    with pytest.raises(VerificationError):
        envelope.verify([reference(Ed25519PrivateKey.generate())], 1)


def test_the_statement_names_every_file(folder, key):
    statement = json.loads(base64.b64decode(sign(folder, pem(key))["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "urn:hallmark:dataset-signature:v1"
    assert {entry["name"]: "sha256:" + entry["digest"]["sha256"] for entry in statement["subject"]} == {
        "a.csv": file_digest(folder / "a.csv"),
        "deep/ü.csv": file_digest(folder / "deep" / "ü.csv"),
    }


def test_it_is_written_beside_the_data(folder, key, tmp_path):
    (tmp_path / "key.pem").write_bytes(pem(key))
    found = sign_file(f"{folder}/", str(tmp_path / "key.pem"))
    assert found == {"signature": f"{folder}.sig.json", "key": key_id(key.public_key()), "files": 2}
    assert sorted(path.name for path in folder.iterdir()) == ["a.csv", "deep"]
    Envelope.from_dict(json.loads((tmp_path / "data.sig.json").read_text())).verify([reference(key)], 1)


def test_keys_that_cannot_sign(folder, key, tmp_path):
    rsa = generate_private_key(65537, 2048)
    for content in (b"", b"-----BEGIN PRIVATE KEY-----", pem(rsa), pem(key, BestAvailableEncryption(b"word"))):
        with pytest.raises(InputError, match=r"an Ed25519 private key in PEM that is not encrypted; it is none\."):
            sign(folder, content)
    with pytest.raises(MissingInputError, match=r"The key must be a file; got '.*none\.pem'\."):
        sign_file(str(folder), str(tmp_path / "none.pem"))
    with pytest.raises(MissingInputError):
        sign(tmp_path / "none", pem(key))
