"""Settings: what is read, what goes over what, and every refusal."""

import re
from pathlib import Path

import pytest

from kfp_hallmark import settings
from kfp_hallmark.errors import InputError, MissingInputError
from kfp_hallmark.settings_checks import byte_count, cpus

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


@pytest.fixture
def load(tmp_path):
    def call(text="", **environment):
        path = tmp_path / "hallmark.toml"
        path.write_text(text)
        return settings.load(path, environment)

    return call


def test_without_a_file_all_is_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = settings.load(environment={})
    assert loaded == settings.Settings(folder=tmp_path)
    assert loaded.resources.large == settings.Resources("2", "4", "4Gi", "8Gi")


def test_the_file_in_the_working_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hallmark.toml").write_text('[vertex]\nproject = "acme-ml"')
    assert settings.load(environment={}).vertex.project == "acme-ml"


def test_a_named_file_goes_before_the_working_folder_and_a_given_one_before_both(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("hallmark", "named", "given"):
        (tmp_path / f"{name}.toml").write_text(f'[kubeflow]\nnamespace = "{name}"')
    named = {"HALLMARK_SETTINGS": str(tmp_path / "named.toml")}
    assert settings.load(environment=named).kubeflow.namespace == "named"
    assert settings.load(tmp_path / "given.toml", named).kubeflow.namespace == "given"


@pytest.mark.parametrize("environment", [{}, {"HALLMARK_SETTINGS": "none.toml"}])
def test_a_file_that_was_named_must_be_there(environment):
    with pytest.raises(MissingInputError, match=r"must be a file; got 'none\.toml'"):
        settings.load(None if environment else "none.toml", environment)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "hallmark.toml").write_text('[vertex]\nproject = "acme-ml"', encoding="utf-8-sig")
    assert settings.load(tmp_path / "hallmark.toml", {}).vertex.project == "acme-ml"


def test_paths_start_in_the_folder_of_the_file(load, tmp_path):
    loaded = load('[images]\nlock = "pins/images.json"')
    assert loaded.path(loaded.images.lock) == tmp_path / "pins" / "images.json"


def test_a_table_keeps_the_defaults_of_its_size(load):
    large = load('[resources.large]\nmemory_limit = "16Gi"').resources.large
    assert large == settings.Resources("2", "4", "4Gi", "16Gi")


def test_variables_go_over_the_file(load):
    loaded = load(
        '[kubeflow]\nnamespace = "risk"\nlabels = { team = "risk" }\n[retries]\ncount = 1',
        HALLMARK_KUBEFLOW_NAMESPACE="other",
        HALLMARK_KUBEFLOW_LABELS='{cost-centre = "17"}',
        HALLMARK_KUBEFLOW_PVC_CLAIM="state",
        HALLMARK_KUBEFLOW_TOLERATIONS='[{key = "gpu", operator = "Exists"}]',
        HALLMARK_RETRIES_COUNT="3",
        HALLMARK_CACHING_ENABLED="false",
        HALLMARK_RESOURCES_SMALL_CPU_LIMIT="2",
        HALLMARK_VERTEX_PROJECT="",
    )
    assert loaded.kubeflow.namespace == "other"
    assert loaded.kubeflow.labels == {"cost-centre": "17"}
    assert loaded.kubeflow.pvc == settings.Pvc("state", "/mnt/hallmark")
    assert loaded.kubeflow.tolerations == (settings.Toleration(key="gpu", operator="Exists"),)
    assert (loaded.retries.count, loaded.caching.enabled, loaded.resources.small.cpu_limit) == (3, False, "2")
    assert loaded.vertex.project is None


def test_variables_of_other_things_are_left_alone(load):
    load("", HALLMARK_REGISTRY="x", HALLMARK_ENVIRONMENTS="/tmp", HALLMARK_AUDIT_LOG="/tmp/audit")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[kubeflow", "must be a TOML file"),
        ("[kubflow]", "no table 'kubflow'.*\nHint: Did you mean 'kubeflow'"),
        ("[kubeflow]\nhots = 1", r"no key 'hots' below \[kubeflow\].*\nHint: Did you mean 'host'"),
        ('[resources.large]\nmemory = "1Gi"', r"no key 'memory' below \[resources\.large\]"),
        ("[resources.huge]", "no key 'huge' below"),
        ("folder = 'x'", "no table 'folder'"),
        ("kubeflow = 3", "kubeflow must be a table; got a whole number"),
        ("[kubeflow]\nhost = 3", r"kubeflow\.host must be text; got a whole number.*\nHint: Quote it"),
        ("[retries]\ncount = true", r"retries\.count must be a whole number; got true or false"),
        ("[retries]\nfactor = 1.5", r"retries\.factor must be a whole number; got a number"),
        ('[caching]\nenabled = "yes"', r"caching\.enabled must be true or false; got text"),
        ('[kubeflow]\npull_secrets = "x"', r"kubeflow\.pull_secrets must be a list; got text"),
        ('[retries]\ncount = "2"', r"retries\.count must be a whole number; got text, '2'\."),
        ("[retries]\nfactor = inf", r"retries\.factor must be a whole number; got a number, inf\."),
        ("[retries]\ncount = 2026-01-02", r"retries\.count must be a whole number; got a date\."),
        ("[retries]\ncount = 2026-01-02T03:04:05Z", r"retries\.count must be a whole number; got a date and time\."),
        ("[retries]\ncount = 03:04:05", r"retries\.count must be a whole number; got a time\."),
        ("[retries]\ncount = " + "9" * 5000, "must be a TOML file"),
        ("[kubeflow]\npull_secrets = " + "[" * 2000, "must be a TOML file"),
        ("[kubeflow]\nlabels = " + "{a = " * 2000, "must be a TOML file"),
        ("[kubeflow]\nlabels = ['x']", r"kubeflow\.labels must be a table; got a list"),
        ("[kubeflow.labels]\nteam = 3", r"kubeflow\.labels\.team must be text"),
        ("[[kubeflow.tolerations]]\nkeys = 'x'", r"no key 'keys' below \[kubeflow\.tolerations\[0\]\]"),
        ("[kubeflow]\npvc = 'x'", r"kubeflow\.pvc must be a table"),
        ("[retries]\ncount = 11", r"retries\.count must be from 0 to 10; got 11"),
        ("[retries]\ncount = -1", r"retries\.count must be from 0 to 10; got -1"),
        ("[retries]\nfactor = 0", r"retries\.factor must be from 1 to 4"),
        ("[retries]\nmax_seconds = 29", r"retries\.max_seconds must be at least retries\.backoff_seconds, 30; got 29"),
        ("[timeouts]\nsmall = 0", r"timeouts\.small must be from 1 to 604,800; got 0"),
        ("[kubeflow]\nauth = 'bearr'", r"auth must be one of none, bearer,.*\nHint: Did you mean 'bearer'"),
        ("[kubeflow]\npull_policy = 'Sometimes'", r"pull_policy must be one of IfNotPresent, Always, Never"),
        ("[kubeflow]\nhost = 'kubeflow.acme.com'", r"kubeflow\.host must be an address that begins with http"),
        ("[kubeflow]\nhost = 'https://'", r"kubeflow\.host must be an address"),
        ("[kubeflow]\nhost = 'https://a:b'", r"kubeflow\.host must be an address"),
        ("[kubeflow]\nnamespace = 'Risk'", r"kubeflow\.namespace must be a Kubernetes namespace"),
        ("[kubeflow]\nnamespace = 'a.b'", r"kubeflow\.namespace must be a Kubernetes namespace"),
        ("[kubeflow]\nservice_account = 'a_b'", r"service_account must be the name of a Kubernetes object"),
        ("[kubeflow]\nsecret_variable = 'HALLMARK_TOKEN'", "a variable that does not begin with HALLMARK_"),
        ("[kubeflow]\ntoken_file = 'token'", r"kubeflow\.token_file must be an absolute path"),
        ("[kubeflow]\npull_secrets = ['A']", r"pull_secrets\[0\] must be the name of a Kubernetes object"),
        ("[kubeflow.labels]\n'-team' = 'x'", r"A key of kubeflow\.labels must be a label's key.*got '-team'"),
        ("[kubeflow.labels]\n'Acme/team' = 'x'", r"A key of kubeflow\.labels must be a label's key"),
        ("[kubeflow.labels]\nteam = 'a b'", r"kubeflow\.labels\.team must be a label's value.*got 'a b'"),
        ("[kubeflow.labels]\nteam = '" + "x" * 64 + "'", r"kubeflow\.labels\.team must be a label's value"),
        ("[kubeflow.node_selector]\npool = '-'", r"kubeflow\.node_selector\.pool must be a label's value"),
        ("[kubeflow.variables]\n1A = 'x'", r"A key of kubeflow\.variables must be the name of an environment variable"),
        ("[kubeflow.variables]\nA = ''", r"kubeflow\.variables\.A must be printable ASCII text, and not empty"),
        ("[kubeflow.variables]\nA = 'é'", r"kubeflow\.variables\.A must be printable ASCII text"),
        ("[kubeflow.secrets.Mlflow]\na = 'A'", r"A key of kubeflow\.secrets must be the name of a Kubernetes object"),
        ("[kubeflow.secrets.mlflow]", r"kubeflow\.secrets\.mlflow must say which keys go to which variables"),
        ("[kubeflow.secrets.mlflow]\n'a b' = 'A'", r"A key of kubeflow\.secrets\.mlflow must be letters"),
        ("[kubeflow.secrets.m]\na = 'A'\nb = 'A'", r"kubeflow\.secrets\.m\.b must be a variable that no other secret"),
        (
            "[kubeflow.variables]\nA='x'\n[kubeflow.secrets.m]\na = 'A'",
            "variable A must be in one of kubeflow.variables",
        ),
        ("[[kubeflow.tolerations]]\nvalue = 'x'", r"tolerations\[0\]\.operator must be 'Exists' where there is no key"),
        (
            "[[kubeflow.tolerations]]\nkey = 'a'\noperator = 'Exists'\nvalue = 'x'",
            r"tolerations\[0\]\.value must be left out with the operator 'Exists'",
        ),
        ("[[kubeflow.tolerations]]\nkey = 'a'\nseconds = 5", r"tolerations\[0\]\.effect must be 'NoExecute'"),
        ("[[kubeflow.tolerations]]\nkey = 'a'\neffect = 'No'", r"tolerations\[0\]\.effect must be one of NoSchedule"),
        ("[kubeflow.pvc]\nmount_path = '/x'", r"kubeflow\.pvc\.claim must name a PersistentVolumeClaim"),
        ("[kubeflow.pvc]\nclaim = 'x'\nmount_path = 'x'", r"kubeflow\.pvc\.mount_path must be an absolute path"),
        ("[kubeflow.pvc]\nclaim = 'x'\nmount_path = '//'", r"kubeflow\.pvc\.mount_path must be an absolute path"),
        ("[kubeflow.pvc]\nclaim = 'x'\nmount_path = '/a/../b'", r"mount_path must be .* without '\.' and '\.\.'; got"),
        ("[kubeflow.pvc]\nclaim = 'x'\nmount_path = '/gcs/'", r"mount_path must be outside Kubeflow's own /gcs"),
        ("[kubeflow.pvc]\nclaim = 'a.b'", r"pvc\.claim must be a PersistentVolumeClaim whose name a pod's volume can"),
        ("[kubeflow.pvc]\nclaim = '" + "a" * 64 + "'", r"pvc\.claim must be a PersistentVolumeClaim whose name"),
        ("[resources.small]\ncpu_limit = '٣'", r"small\.cpu_limit must be a quantity of processors"),
        ("[resources.small]\nmemory_limit = '٣Gi'", r"small\.memory_limit must be a quantity of memory"),
        ("[resources.small]\nmemory_limit = '" + "9" * 5000 + "'", r"small\.memory_limit must be a quantity of memory"),
        ("[images]\nregistry = 'localhost:٣'", r"images\.registry must be a registry"),
        ("[images]\nlock = ' '", r"images\.lock must be a name"),
        ("[vertex]\nlocation = 'europe-west٣'", r"vertex\.location must be a region"),
        ("[vertex]\napi_endpoint = 'a:٣'", r"vertex\.api_endpoint must be a host"),
        ("[vertex.secrets]\nA = 'projects/p/secrets/s/versions/1٣'", r"vertex\.secrets\.A must be a version"),
        ("[resources.small]\ncpu_limit = '1.5m'", r"resources\.small\.cpu_limit must be a quantity of processors"),
        ("[resources.small]\ncpu_limit = '0'", r"resources\.small\.cpu_limit must be a quantity of processors above 0"),
        ("[resources.small]\nmemory_limit = '4GB'", r"resources\.small\.memory_limit must be a quantity of memory"),
        ("[resources.small]\nmemory_limit = '1.5Gi'", r"memory_limit must be a quantity of memory.*got '1\.5Gi'"),
        ("[resources.small]\nmemory_limit = '1k'", r"resources\.small\.memory_limit must be a quantity of memory"),
        ("[resources.small]\ncpu_request = '1001m'", r"small\.cpu_request must be at most resources\.small\.cpu_limit"),
        (
            "[resources.small]\nmemory_request = '2049Mi'",
            r"small\.memory_request must be at most resources\.small\.memory_limit, '2Gi'; got '2049Mi'",
        ),
        ("[images]\nregistry = 'https://ghcr.io/acme'", r"images\.registry must be a registry"),
        ("[images]\nregistry = 'ghcr.io/acme/'", r"images\.registry must be a registry"),
        ("[images]\nlock = ''", r"images\.lock must be a name"),
        ("[mlflow]\ntracking_uri = 'sqlite:///mlflow.db'", r"mlflow\.tracking_uri must be an address"),
        ("[vertex]\nproject = 'Acme'", r"vertex\.project must be a Google Cloud project id"),
        ("[vertex]\nlocation = 'europe'", r"vertex\.location must be a region"),
        ("[vertex]\npipeline_root = 's3://bucket/x'", r"vertex\.pipeline_root must be a Cloud Storage URI"),
        ("[vertex]\npipeline_root = 'gs://Bucket'", r"vertex\.pipeline_root must be a Cloud Storage URI"),
        ("[vertex]\npipeline_root = 'gs:///x'", r"vertex\.pipeline_root must be a Cloud Storage URI"),
        ("[vertex]\nservice_account = 'me@acme.com'", r"vertex\.service_account must be a service account's e-mail"),
        ("[vertex]\nnetwork = 'default'", r"vertex\.network must be a network's resource name"),
        ("[vertex]\napi_endpoint = 'https://a'", r"vertex\.api_endpoint must be a host, without a scheme"),
        ("[vertex.labels]\nTeam = 'x'", r"A key of vertex\.labels must be at most 63 lowercase"),
        ("[vertex.labels]\nteam = 'a.b'", r"vertex\.labels\.team must be at most 63 lowercase"),
        ("[vertex.labels]\n" + "\n".join(f"a{i} = 'x'" for i in range(65)), r"must be at most 64 labels; got 65"),
        ("[vertex.machines.'Train Model']", r"A key of vertex\.machines must be a size or a component's name"),
        ("[vertex.machines.large]\ncpu_limit = '97'", r"large\.cpu_limit must be at most 96 processors on Vertex"),
        ("[vertex.machines.large]\nmemory_limit = '625G'", r"large\.memory_limit must be at most 624G of memory"),
        ("[vertex.machines.large]\naccelerator_type = 't4'", r"large\.accelerator_type must be an accelerator"),
        ("[vertex.machines.large]\naccelerator_count = 1", r"machines\.large must have an accelerator_type"),
        (
            "[vertex.machines.large.parameters]\ncpu = 'a'",
            r"A key of .*parameters must be one of cpu_limit, memory_limit",
        ),
        ("[vertex.machines.large.parameters]\ncpu_limit = 'A'", r"parameters\.cpu_limit must be a parameter's name"),
        (
            "[vertex.machines.large.parameters]\ncpu_limit = 'a'\nmemory_limit = 'a'",
            r"parameters must name each parameter once; got 'a', 'a'",
        ),
        (
            "[vertex.machines.large.parameters]\naccelerator_count = 'n'",
            r"machines\.large must have an accelerator_type with its accelerator_count",
        ),
        (
            "[vertex.variables]\nA='x'\n[vertex.secrets]\nA = 'projects/p/secrets/s/versions/1'",
            "variable A must be in one",
        ),
        (
            "[mlflow]\ntracking_uri = 'http://m'\n[kubeflow.secrets.m]\na = 'MLFLOW_TRACKING_URI'",
            r"MLFLOW_TRACKING_URI must be in one of mlflow\.tracking_uri and kubeflow\.secrets; it is in both",
        ),
        (
            "[mlflow]\ntracking_uri = 'http://m'\n"
            "[vertex.secrets]\nMLFLOW_TRACKING_URI = 'projects/p/secrets/s/versions/1'",
            r"MLFLOW_TRACKING_URI must be in one of mlflow\.tracking_uri and vertex\.secrets; it is in both",
        ),
        (
            "[kubeflow.pvc]\nclaim = 'x'\n[kubeflow.secrets.m]\na = 'HALLMARK_AUDIT_LOG'",
            r"HALLMARK_AUDIT_LOG must be in one of kubeflow\.pvc and kubeflow\.secrets; it is in both",
        ),
    ],
)
def test_refused(load, text, message):
    with pytest.raises(InputError, match=message):
        load(text)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("[vertex.secrets]\nMLFLOW_TRACKING_PASSWORD = 'hunter2'", "hunter2"),
        ("[vertex.secrets]\nA = 'projects/p/secrets/s/versions/0'", "versions/0"),
        ("[kubeflow.secrets.mlflow]\npassword = 'hunter2!'", "hunter2"),
        ("[kubeflow.secrets]\nmlflow = 'hunter2'", "hunter2"),
        ("[kubeflow.secrets.mlflow]\npassword = 4711", "4711"),
        ("[kubeflow]\nsecret_variable = 'eyJhbGciOi.hunter2'", "hunter2"),
        ("[mlflow]\ntracking_uri = 'https://me:hunter2@mlflow.acme.com'", "hunter2"),
        ("[kubeflow]\nhost = 'me:hunter2@kubeflow.acme.com'", "hunter2"),
    ],
)
def test_no_error_repeats_what_may_be_a_secret(load, text, secret):
    with pytest.raises(InputError) as error:
        load(text)
    assert secret not in str(error.value)


@pytest.mark.parametrize("platform", ["kubeflow", "vertex"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MLFLOW_TRACKING_PASSWORD", "hunter2"),
        ("MLFLOW_TRACKING_TOKEN", "hunter2"),
        ("CLIENT_SECRET", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("password", "hunter2"),
        ("STORE", "postgresql://me:hunter2@db/mlflow"),
        ("STORE", "redis://:hunter2@cache"),
        ("INDEX", "https://hunter2@pypi.acme.com/simple"),
        ("BLOB", "https://a.blob.core.windows.net/b?sv=2024&sig=hunter2"),
    ],
)
def test_a_secret_in_plain_text_is_refused_with_where_it_belongs(load, platform, variable, value):
    with pytest.raises(InputError, match=rf"{platform}\.variables\.{variable} must be no secret") as error:
        load(f"[{platform}.variables]\n{variable} = '{value}'")
    assert f"[{platform}.secrets]" in error.value.hint
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("MONKEY", "x"),
        ("STORE", "postgresql://me@db:5432/mlflow"),
        ("PROXY", "http://proxy:3128/a@b"),
        ("MAIL", "ml@acme.com"),
        ("QUERY", "https://acme.com/?keyword=a&page=2"),
    ],
)
def test_what_is_no_secret_is_taken(load, variable, value):
    assert load(f"[kubeflow.variables]\n{variable} = '{value}'").kubeflow.variables == {variable: value}


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("HALLMARK_KUBEFLOW", "x", "no setting for the variable HALLMARK_KUBEFLOW"),
        ("HALLMARK_RETRIES_COUNT", "1\nx = 2", "RETRIES_COUNT must be one value; it is several lines"),
        ("HALLMARK_RETRIES_COUNT", "9" * 5000, "RETRIES_COUNT must be written as TOML writes a value"),
        ("HALLMARK_KUBEFLOW_PULL_SECRETS", "[" * 2000, "PULL_SECRETS must be written as TOML writes a value"),
        ("HALLMARK_KUBEFLOW_HOTS", "x", "no setting for the variable HALLMARK_KUBEFLOW_HOTS.*\nHint: .*KUBEFLOW_HOST"),
        ("HALLMARK_RESOURCES_HUGE_CPU_LIMIT", "1", "no setting for the variable"),
        ("HALLMARK_KUBEFLOW_LABELS", "{team: risk}", "KUBEFLOW_LABELS must be written as TOML writes a value"),
        ("HALLMARK_RETRIES_COUNT", "many", "RETRIES_COUNT must be written as TOML writes a value"),
        ("HALLMARK_RETRIES_COUNT", '"2"', r"retries\.count must be a whole number; got text"),
        ("HALLMARK_VERTEX_PIPELINE_ROOT", "/tmp", r"vertex\.pipeline_root must be a Cloud Storage URI"),
    ],
)
def test_refused_variables(load, variable, text, message):
    with pytest.raises(InputError, match=message):
        load("", **{variable: text})


@pytest.mark.parametrize(
    "text",
    [
        "[kubeflow.labels]\n'acme.com/team' = ''\nx = '" + "x" * 63 + "'",
        "[vertex]\npipeline_root = 'gs://acme-ml_1.x'",
        "[vertex]\nproject = 'acme.com:acme-ml'",
        "[vertex.secrets]\nA = 'projects/12/secrets/a_b-c/versions/latest'",
        "[vertex.machines.large]\ncpu_limit = '96'\nmemory_limit = '624G'",
        "[resources.small]\ncpu_request = '1000m'\nmemory_request = '2048Mi'",
        "[images]\nregistry = 'localhost:5000'",
        "[retries]\nmax_seconds = 30\ncount = 10\nfactor = 4",
        "[[kubeflow.tolerations]]\noperator = 'Exists'",
        "[[kubeflow.tolerations]]\nkey = 'a'\neffect = 'NoExecute'\nseconds = 0",
    ],
)
def test_at_the_limit(load, text):
    load(text)


def test_require_names_all_that_is_missing(load):
    loaded = load("[vertex]\nproject = 'acme-ml'")
    loaded.require("vertex.project")
    with pytest.raises(InputError, match=r"must have vertex\.location and vertex\.pipeline_root; .*") as error:
        loaded.require("vertex.project", "vertex.location", "vertex.pipeline_root")
    assert "below [vertex] in hallmark.toml, or set HALLMARK_VERTEX_LOCATION" in error.value.hint


def test_quantities_are_numbers():
    assert [cpus(text) for text in ("2", "0.5", "250m")] == [2, 0.5, 0.25]
    assert [byte_count(text) for text in ("7", "3Ki", "5M", "2Gi", "1T")] == [7, 3072, 5_000_000, 2**31, 10**12]


def test_the_page_names_every_key_and_its_example_loads(load):
    text = PAGE.read_text()
    for name, _ in settings._overridable(settings.Settings).values():
        assert f"`{name.rpartition('.')[2]}`" in text, name
    for name in ("key", "operator", "value", "effect", "seconds", "cpu_limit", "accelerator_count"):
        assert f"`{name}`" in text
    example = load(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])
    assert example.kubeflow.secrets == {
        "mlflow": {"username": "MLFLOW_TRACKING_USERNAME", "password": "MLFLOW_TRACKING_PASSWORD"}
    }
    defaults = settings.Settings()
    for size, values in re.findall(r"^\| `(small|medium|large)` \| ([\d,]+) \|$", text, re.MULTILINE):
        assert getattr(defaults.timeouts, size) == int(values.replace(",", ""))
    for key, *cells in re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \| `(\w+)` \|$", text, re.MULTILINE):
        assert [getattr(getattr(defaults.resources, size), key) for size in settings.SIZES] == cells
