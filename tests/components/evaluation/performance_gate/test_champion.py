import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.metrics

from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.tracking import experiment

LIMITS = {"min_accuracy": 0.1}


@pytest.fixture
def compare(performance, registry, models, request):
    """Judge one model's scores against the champion that is registered under the test's name."""

    def run(challenger, **settings):
        settings = {"model_name": request.node.name, "tracking_uri": registry.uri, "frame": models.frame} | settings
        model = artifact_digest(challenger.folder)
        found = performance(models.label, challenger.score, LIMITS, model=model, **settings)
        (check,) = [check for check in found.verdict.checks if check.name == "champion"]
        return found, check

    return run


@pytest.fixture
def enthrone(registry, request):
    """Register a model folder as the champion under the test's name."""
    return lambda folder, **options: registry.champion(request.node.name, folder, **options)


def test_no_registered_model_passes_and_says_so(compare, models, request):
    found, check = compare(models.good)
    assert (found.status, check.status) == ("pass", Status.PASS)
    assert check.message == f"The model {request.node.name!r} has no champion yet, so no comparison was made."
    assert (check.observed, check.minimum, check.interval) == (None, None, None)
    assert "has no champion yet, so no comparison was made." in found.report.replace("&#x27;", "'")


def test_a_registered_model_without_the_alias_has_no_champion(compare, models, registry, request):
    registry.store.create_registered_model(request.node.name)
    version = registry.store.create_model_version(request.node.name, source=str(models.poor.folder))
    registry.store.set_registered_model_alias(request.node.name, "challenger", version.version)
    assert "has no champion yet" in compare(models.good)[1].message


def test_released_versions_without_a_champion_are_a_warning(compare, models, enthrone, registry, request):
    enthrone(models.good.folder, tags={"hallmark.decision": "release"})
    registry.store.delete_registered_model_alias(request.node.name, "champion")
    _, check = compare(models.poor)
    assert check.status is Status.WARN
    assert "has no champion, though 1 of its versions were released" in check.message


def test_a_champion_with_the_models_digest_and_other_files_fails(compare, models, enthrone):
    enthrone(models.good.folder, tags={"hallmark.digest": artifact_digest(models.poor.folder)})
    _, check = compare(models.poor)
    assert check.status is Status.FAIL
    assert "is not what was registered" in check.message


def test_a_better_champion_fails_the_model(compare, models, enthrone):
    enthrone(models.good.folder)
    found, check = compare(models.poor)
    areas = [sklearn.metrics.roc_auc_score(models.label, each.score) for each in (models.poor, models.good)]
    assert (found.status, check.status) == ("fail", Status.FAIL)
    assert check.observed == pytest.approx(areas[0] - areas[1])
    assert check.observed < -0.05
    assert check.interval[1] < check.minimum == -0.01
    assert (check.samples, check.confidence) == (1500, 0.95)
    assert check.message.startswith("The model is worse than allowed: in roc auc it is 0.")
    assert check.scope == {
        "model": check.scope["model"],
        "version": "1",
        "metric": "roc_auc",
        "question": "non_inferiority",
    }


def test_a_worse_champion_passes_the_model(compare, models, enthrone):
    enthrone(models.poor.folder)
    found, check = compare(models.good)
    assert (found.status, check.status) == ("pass", Status.PASS)
    assert check.observed > 0.05
    assert check.interval[0] > 0
    assert "better than the champion" in check.message
    assert "Advantage over the champion" in found.report


def test_a_champion_among_the_artifacts_of_a_run_is_verified_too(compare, models, registry, request):
    name, store = request.node.name, registry.store
    run = store.create_run(experiment(store, name))
    store.log_artifacts(run.info.run_id, str(models.good.folder), "some/model")
    store.create_registered_model(name)
    tags = {"hallmark.digest": artifact_digest(models.good.folder)}
    version = store.create_model_version(name, f"{run.info.artifact_uri}/some/model", run.info.run_id, tags)
    store.set_registered_model_alias(name, "champion", version.version)
    assert compare(models.poor)[1].observed < -0.05


def test_a_loss_is_oriented(compare, models, enthrone):
    enthrone(models.good.folder)
    _, check = compare(models.poor, champion_metric="log_loss")
    losses = [sklearn.metrics.log_loss(models.label, each.score) for each in (models.poor, models.good)]
    assert check.status is Status.FAIL
    assert check.observed == pytest.approx(losses[1] - losses[0])
    assert check.observed < 0


def test_both_sides_of_the_allowed_loss(compare, models, enthrone):
    enthrone(models.good.folder)
    _, check = compare(models.poor, champion_metric="accuracy")
    low, high = check.interval
    assert low < check.observed < high < 0
    step = 1e-9
    statuses = [
        compare(models.poor, champion_metric="accuracy", max_champion_loss=loss)[1].status
        for loss in (-high - step, -high, -check.observed, -low - step, -low)
    ]
    assert statuses == [Status.FAIL, *[Status.INCONCLUSIVE] * 3, Status.PASS]


def test_the_champion_itself_passes_and_is_not_compared(compare, models, enthrone):
    enthrone(models.good.folder)
    _, check = compare(models.good)
    assert check.status is Status.PASS
    assert check.message == "The champion, version 1, is this very model, so no comparison was made."


def test_a_champion_without_a_digest_fails(compare, models, enthrone):
    enthrone(models.poor.folder, tags={})
    _, check = compare(models.good)
    assert check.status is Status.FAIL
    assert check.message == "The champion, version 1, has no tag hallmark.digest to verify it by."


def test_a_tampered_champion_fails_and_is_not_loaded(compare, models, enthrone, tmp_path):
    """The pickle in it would make a file if it were loaded."""
    folder = shutil.copytree(models.poor.folder, tmp_path / "champion")
    enthrone(folder)
    loaded = tmp_path / "loaded"
    (folder / "model.pkl").write_bytes(f"cbuiltins\nopen\n(S'{loaded}'\nS'w'\ntR.".encode())
    _, check = compare(models.good)
    assert check.status is Status.FAIL
    assert check.message.startswith("The champion, version 1, is not what was registered. Its files must have")
    assert not loaded.exists()


def test_a_champion_of_another_schema_is_inconclusive(compare, models, enthrone):
    enthrone(models.poor.folder)
    found, check = compare(models.good, frame=models.frame.rename(columns={"b c": "d"}))
    assert (found.status, check.status) == ("inconclusive", Status.INCONCLUSIVE)
    assert check.message.startswith("The champion, version 1, cannot be applied to these rows.")
    assert "'b c'" in check.message


def test_a_champion_of_other_classes_is_inconclusive(compare, models, enthrone, tmp_path):
    folder = shutil.copytree(models.poor.folder, tmp_path / "champion")
    document = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(document.replace("positive_class: 1", "positive_class: 0"))
    enthrone(folder)
    _, check = compare(models.good)
    assert check.status is Status.INCONCLUSIVE
    assert "It must predict the same classes" in check.message


def test_a_champion_whose_files_are_gone_is_inconclusive(compare, models, enthrone, tmp_path):
    folder = shutil.copytree(models.poor.folder, tmp_path / "champion")
    enthrone(folder)
    shutil.rmtree(folder)
    _, check = compare(models.good)
    assert check.status is Status.INCONCLUSIVE
    assert "Its files could not be fetched" in check.message


def test_a_registry_that_does_not_answer_is_inconclusive(compare, models, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    found, check = compare(models.good, tracking_uri=f"sqlite:///{tmp_path}/file/mlflow.db")
    assert (found.status, check.status) == ("inconclusive", Status.INCONCLUSIVE)
    assert check.message.startswith("The registry could not be asked for a champion.")


def test_a_server_that_is_down_is_inconclusive(compare, models, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    _, check = compare(models.good, tracking_uri="http://user:secret@127.0.0.1:9")
    assert check.status is Status.INCONCLUSIVE
    assert "secret" not in check.message


def test_the_uri_may_come_from_the_environment(compare, models, enthrone, registry, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    enthrone(models.poor.folder)
    assert compare(models.good, tracking_uri=None)[1].scope["version"] == "1"


def test_the_report_shows_both_models(compare, models, enthrone):
    enthrone(models.poor.folder)
    report = compare(models.good)[0].report
    for each in (models.good, models.poor):
        assert f"{sklearn.metrics.roc_auc_score(models.label, each.score):.4g}" in report


def checks_of(found):
    return {check.name: check for check in found.verdict.checks}


def test_superiority_asks_for_more_than_no_loss(compare, models, enthrone):
    enthrone(models.good.folder)
    worse, near = models.poor, SimpleNamespace(folder=models.poor.folder, score=models.good.score + 1e-9)
    _, check = compare(worse, champion_question="superiority")
    assert (check.status, check.minimum, check.maximum) == (Status.FAIL, 0.0, None)
    assert check.message.startswith("The model is not better than the champion: in roc auc it is 0.")
    assert "more than 0 is asked" in check.message
    _, check = compare(near, champion_question="superiority")
    assert check.status is Status.FAIL
    assert compare(near)[1].status is Status.PASS


def test_a_better_model_is_superior_and_not_equivalent(compare, models, enthrone):
    enthrone(models.poor.folder)
    found, check = compare(models.good, champion_question="superiority")
    assert (found.status, check.status) == ("pass", Status.PASS)
    assert check.message.startswith("The model is better than the champion: ")
    assert "The question is superiority" in found.report
    found, check = compare(models.good, champion_question="equivalence")
    assert (check.status, check.minimum, check.maximum) == (Status.FAIL, -0.01, 0.01)
    assert check.message.startswith("The model is not as good as the champion, within the margin: ")
    assert "at most 0.01 to either side is allowed" in check.message
    _, check = compare(models.good, champion_question="equivalence", max_champion_loss=0.4)
    assert check.status is Status.PASS


def test_an_open_question_says_how_many_rows_would_tell(compare, models, enthrone):
    enthrone(models.good.folder)
    _, check = compare(models.poor, champion_metric="accuracy", max_champion_loss=0.22)
    assert check.status is Status.INCONCLUSIVE
    assert check.message.startswith("The data cannot tell whether the model is worse than allowed: in accuracy it is")
    assert re.search(
        r"To show it of a model that is as good, with a power of 80%, takes about \d\d rows; there are 1,500\. "
        r"This one is near the limit\.$",
        check.message,
    )
    near = SimpleNamespace(folder=models.poor.folder, score=models.good.score * 0.9 + np.arange(1500) % 7 * 0.009)
    _, check = compare(near, max_champion_loss=1e-6)
    assert re.search(r"takes about [\d,]{7,} rows; there are 1,500\.$", check.message)


def test_a_margin_of_zero_cannot_be_planned(compare, models, enthrone):
    enthrone(models.poor.folder)
    near = SimpleNamespace(folder=models.good.folder, score=models.poor.score + np.arange(1500) % 7 * 1e-4)
    _, check = compare(near, max_champion_loss=0.0)
    assert check.status is Status.INCONCLUSIVE
    assert "With a margin of 0 no number of rows can be planned" in check.message


def test_too_few_rows_for_the_wanted_power_are_inconclusive(compare, models, enthrone):
    """What passes by its interval is still no pass where the rows could not have told."""
    enthrone(models.poor.folder)
    found, check = compare(models.good, power=0.8)
    rows = checks_of(found)["champion_rows"]
    assert (found.status, check.status, rows.status) == ("inconclusive", Status.PASS, Status.INCONCLUSIVE)
    assert rows.observed == 1500 < rows.minimum
    assert rows.message == (
        "To show it of a model that is as good, with a power of 80%, takes about "
        f"{rows.minimum:,.0f} rows; there are 1,500."
    )
    assert rows.message in found.report
    margin = 0.01 * (rows.minimum / 1500) ** 0.5
    statuses = [
        checks_of(compare(models.good, power=0.8, max_champion_loss=margin * factor)[0])["champion_rows"].status
        for factor in (0.999, 1.001)
    ]
    assert statuses == [Status.INCONCLUSIVE, Status.PASS]


def test_without_a_comparison_no_power_is_asked(compare, models):
    found, _ = compare(models.good, power=0.8)
    assert found.status == "pass"
    assert "champion_rows" not in checks_of(found)
