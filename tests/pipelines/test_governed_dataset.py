"""The pipeline that judges data before a model learns from them: accepted in containers, refused locally."""

import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kfp_hallmark.contracts.dataset_signature import sign_file

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "acs_employment" / "dataset.yaml"
GATES = {"validate_dataset", "audit_dataset_bias", "screen_poisoning"}


def judge(start, folder, *arguments):
    arguments = ("--params", EXAMPLE, *arguments)
    return start(folder / "run", folder / "state", *arguments, pipeline="governed_dataset")


@pytest.fixture(scope="module")
def accepted(start, tmp_path_factory):
    return judge(start, tmp_path_factory.mktemp("accepted"), "--platform", "docker")


@pytest.fixture(scope="module")
def refused(start, tmp_path_factory):
    """By the label rates of people with a disability, of whom far fewer are employed."""
    return judge(start, tmp_path_factory.mktemp("refused"), "--set", "sensitive_features=[SEX, DIS]")


@pytest.mark.docker
def test_a_year_like_the_last_one_is_accepted(accepted):
    assert accepted.exit_code == 0, accepted.stdout + accepted.stderr
    assert {step["name"]: step["state"] for step in accepted.document["steps"]} == dict.fromkeys(
        ["load_dataset", "load_dataset_2", *GATES, "write_datasheet", "enforce_verdicts", "record_run"], "succeeded"
    )
    assert {entry["gate"]: entry["status"] for entry in accepted.document["verdicts"]} == dict.fromkeys(GATES, "pass")


@pytest.mark.docker
def test_every_verdict_is_about_the_dataset(accepted):
    digest = accepted.step("load_dataset")["outputs"]["digest"]
    assert {verdict["subjects"]["dataset"] for verdict in accepted.verdicts().values()} == {digest}


def test_data_that_a_gate_stops_fail_the_run_with_the_reasons(refused):
    assert refused.exit_code == 1, refused.stdout + refused.stderr
    assert refused.document["status"] == "failed"
    assert "- audit_dataset_bias: fail: " in refused.step("enforce_verdicts")["reason"]
    assert "The dataset must have passed every gate; it has not" in refused.stdout


def test_the_evidence_of_refused_data_is_kept(refused):
    statuses = {entry["gate"]: entry["status"] for entry in refused.document["verdicts"]}
    assert statuses == {"validate_dataset": "pass", "audit_dataset_bias": "fail", "screen_poisoning": "pass"}
    assert all((refused.folder / entry["report"]).is_file() for entry in refused.document["verdicts"])
    assert refused.step("write_datasheet")["state"] == "succeeded"
    (line,) = (refused.state / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["record"]["state"] == "FAILED"


def test_an_unsigned_baseline_vouches_for_nothing_where_keys_are_named(start, tmp_path):
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = tmp_path / "key.pub.pem"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    data = shutil.copy(EXAMPLE.with_name("2016.parquet"), tmp_path)
    sign_file(data, str(tmp_path / "key.pem"))
    run = judge(start, tmp_path, "--set", f"data_uri={data}", "--set", f"allowed_keys=[{public}]")
    assert run.exit_code == 1
    assert run.step("load_dataset")["state"] == "succeeded"
    assert "'2015.parquet.sig.json' beside it" in run.step("load_dataset_2")["reason"]
    assert run.document["status"] == "failed"
