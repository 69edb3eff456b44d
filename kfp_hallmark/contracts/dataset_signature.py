"""The signature of a dataset: who answers for which files, in `DATA.sig.json` beside the data.

A DSSE envelope around an in-toto statement whose subjects are all files with their SHA-256, signed with Ed25519.
Source: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md and
https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md.

The page `docs/contracts/dataset_signature.md` describes every field.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.digest import PREFIX, Manifest
from kfp_hallmark.contracts.documents import canonical, now, parse_time, write_json
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SUFFIX = ".sig.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:hallmark:dataset-signature:v1"


@dataclass(frozen=True)
class Signed:
    """Who signed data, and when.

    Attributes:
        key: The id of the key.
        created: The time that the signature states, with a time zone.
    """

    key: str
    created: datetime


def sign(path: str | Path, key: bytes) -> dict[str, Any]:
    """Return the signature of a file, or of all files below a folder.

    Args:
        path: The file or folder.
        key: An Ed25519 private key in PEM (PKCS #8), not encrypted.

    Raises:
        InputError: If the key is another.
        MissingInputError: If there is no such file or folder.
        IntegrityError: If the folder holds what no digest covers; see `Manifest.of`.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise InputError(
            "The key must be an Ed25519 private key in PEM that is not encrypted; it is none.",
            "Make one with: openssl genpkey -algorithm ed25519 -out key.pem",
        )
    files = Manifest.of(path).files
    payload = canonical(
        {
            "_type": STATEMENT,
            "subject": [
                {"name": name, "digest": {"sha256": digest.removeprefix(PREFIX)}} for name, digest in files.items()
            ],
            "predicateType": PREDICATE,
            "predicate": {"created": now()},
        }
    )
    signature = {"keyid": key_id(private.public_key()), "sig": _encoded(private.sign(_signed(payload)))}
    return {"payloadType": PAYLOAD_TYPE, "payload": _encoded(payload), "signatures": [signature]}


def sign_file(path: str, key_path: str) -> dict[str, Any]:
    """Write the signature of a file or folder beside it; return where, who signed and how many files.

    Raises:
        MissingInputError: If there is no such data, or no such key.
        InputError: If the key is none that can sign.
    """
    if not Path(key_path).is_file():
        raise MissingInputError(f"The key must be a file; got {key_path!r}.")
    envelope = sign(path, Path(key_path).read_bytes())
    # The name of `..` is that of the folder it is, and a link keeps its own.
    beside = Path(os.path.normpath(Path(path).absolute()))
    target = beside.with_name(beside.name + SUFFIX)
    write_json(target, envelope)
    files = json.loads(base64.b64decode(envelope["payload"]))["subject"]
    return {"signature": str(target), "key": envelope["signatures"][0]["keyid"], "files": len(files)}


def verify(content: bytes, path: str | Path, keys: Sequence[Ed25519PublicKey], name: str) -> Signed:
    """Return which allowed key signed just the files that are there, and when.

    Args:
        content: The signature.
        path: The file or folder that it is about.
        keys: The allowed keys.
        name: What messages call the data.

    Raises:
        IntegrityError: If the signature is none, is not by an allowed key, or is about other files.
    """
    try:
        envelope = json.loads(content)
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(entry["sig"], validate=True) for entry in envelope["signatures"]]
        if envelope["payloadType"] != PAYLOAD_TYPE:
            raise ValueError("it holds something else")
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise IntegrityError(f"The signature of {name!r} must be a DSSE envelope of a dataset; it is none.") from error
    signer = next((key for key in keys for signature in signatures if _is_by(key, signature, payload)), None)
    if signer is None:
        known = ", ".join(map(key_id, keys))
        raise IntegrityError(f"The source {name!r} must be signed by an allowed key, {known}; it is not.")
    files, created = _stated(payload, name)
    _require_files(files, Manifest.of(path).files, name)
    return Signed(key_id(signer), created)


def read_key(pem: bytes, name: str) -> Ed25519PublicKey:
    """Return an Ed25519 public key in PEM.

    Raises:
        InputError: If it is none.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"An allowed key must be an Ed25519 public key in PEM; {name} is none.")
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """Return what a key is known by: the SHA-256 of its DER form, `sha256:<hex>`."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return PREFIX + hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _signed(payload: bytes) -> bytes:
    """Return the bytes that DSSE signs: the type and the payload, each after its length."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _is_by(key: Ed25519PublicKey, signature: bytes, payload: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, _signed(payload))
    except InvalidSignature:
        return False
    return True


def _stated(payload: bytes, name: str) -> tuple[dict[str, str], datetime]:
    """Return the files that a statement is about, with their digests, and when it was made."""
    try:
        statement = json.loads(payload)
        if (statement["_type"], statement["predicateType"]) != (STATEMENT, PREDICATE):
            raise ValueError("it states something else")
        files = {entry["name"]: PREFIX + entry["digest"]["sha256"] for entry in statement["subject"]}
        return files, parse_time(statement["predicate"]["created"])
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise IntegrityError(f"The signature of {name!r} must state the files of a dataset; it does not.") from error


def _require_files(signed: Mapping[str, str], found: Mapping[str, str], name: str) -> None:
    differing = {
        "changed": [file for file in found if file in signed and signed[file] != found[file]],
        "not signed": [file for file in found if file not in signed],
        "missing": [file for file in signed if file not in found],
    }
    told = [f"{what}: {', '.join(map(repr, files[:5]))}" for what, files in differing.items() if files]
    if told:
        raise IntegrityError(f"The source {name!r} must hold just the files that were signed; {'; '.join(told)}.")
