"""`hallmark dataset sign`: a signature beside the data, or an error that says what is wrong."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from kfp_hallmark.cli.main import app
from kfp_hallmark.contracts.dataset_signature import key_id, verify
from kfp_hallmark.errors import MissingInputError


def test_a_folder_is_signed(tmp_path):
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").write_text("a\n1\n")
    arguments = ["dataset", "sign", str(tmp_path / "data"), "--key", str(tmp_path / "key.pem")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    path = tmp_path / "data.sig.json"
    signer = key_id(key.public_key())
    assert result.stdout == f"{path}: 1 file, signed by {signer}.\n"
    assert verify(path.read_bytes(), tmp_path / "data", [key.public_key()], "data").key == signer
    assert json.loads(path.read_text())["signatures"][0]["keyid"] == signer


def test_a_key_that_is_not_there(tmp_path):
    (tmp_path / "rows.csv").write_text("a\n1\n")
    result = CliRunner().invoke(app, ["dataset", "sign", str(tmp_path / "rows.csv"), "--key", str(tmp_path / "no.pem")])
    assert isinstance(result.exception, MissingInputError)
    assert "The key must be a file; got" in str(result.exception)
    with pytest.raises(FileNotFoundError):
        (tmp_path / "rows.csv.sig.json").read_text()
