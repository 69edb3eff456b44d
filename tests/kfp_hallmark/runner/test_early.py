"""What a run refuses before anything is started, by what its components say of their inputs."""

import re

import pytest
from kfp import dsl

from kfp_hallmark import components, runner
from kfp_hallmark.errors import InputError
from kfp_hallmark.pipelines import governed_dataset, governed_training
from kfp_hallmark.runner.early import check_early

GIVEN = {
    "data_uri": "/data/none.parquet",
    "target": "employed",
    "model_name": "employment",
    "sensitive_features": ["SEX"],
    "performance_limits": {"min_roc_auc": 0.8},
    "fairness_limits": {"max_demographic_parity_difference": 0.1},
}
IMAGE = "registry/serve@sha256:" + "5" * 64
KSERVE = {"storage_uri": "gs://bucket/models", "serving_image": IMAGE, "namespace": "serving"}
REFUSED = [
    ({"performance_limits": {}}, "performance_gate", "limits must hold at least one limit; got none."),
    (
        {"performance_limits": {"min_rocauc": 0.8}},
        "performance_gate",
        "A limit must be known for a binary or multiclass or regression task; got 'min_rocauc'.",
    ),
    (
        {"performance_limits": {"min_roc_auc_ovr": 0.8, "min_r2": 0, "min_accuracy": 0.5}},
        "performance_gate",
        "one task; got min_roc_auc_ovr (multiclass), min_r2 (regression), min_accuracy (binary or multiclass).",
    ),
    ({"performance_limits": {"max_r2": 0.8}}, "performance_gate", "a max_ where a smaller is; got 'max_r2'."),
    ({"performance_limits": {"min_roc_auc": "0.8"}}, "performance_gate", "must be a finite number; got '0.8'."),
    ({"serving_limits": {"max_latency": 1.0}}, "performance_gate", "serving_limits must hold options that there are"),
    ({"champion_question": "better"}, "performance_gate", "champion_question must be one of superiority"),
    ({"champion_metric": "auc"}, "performance_gate", "champion_metric must be a metric of a binary task; got 'auc'."),
    ({"champion_metric": "r2"}, "performance_gate", "champion_metric must be a metric of a binary task; got 'r2'."),
    (
        {"champion_metric": "roc_auc", "performance_limits": {"min_r2": 0.8}},
        "performance_gate",
        "champion_metric must be a metric of a regression task; got 'roc_auc'.",
    ),
    (
        {"champion_metric": "r2", "performance_limits": {"min_accuracy": 0.8}},
        "performance_gate",
        "champion_metric must be a metric of a binary or multiclass task; got 'r2'.",
    ),
    (
        {"champion_metric": "expected_calibration_error"},
        "performance_gate",
        "champion_metric must be a metric to compare by; got 'expected_calibration_error'.",
    ),
    ({"champion_power": 0.4}, "performance_gate", "power must be at least 0.5 and below 1; got 0.4."),
    (
        {"champion_question": "equivalence", "max_champion_loss": 0.0},
        "performance_gate",
        "max_champion_loss must be above 0 to ask for equivalence",
    ),
    ({"max_slice_loss": -0.1}, "performance_gate", "max_slice_loss must be a finite number, at least 0; got -0.1."),
    ({"model_name": "a/b"}, "explanation_gate", "model_name must be at most 100 letters"),
    ({"found_slices": 51}, "evaluate_model", "found_slices must be from 0 to 50; got 51."),
    ({"costs": {"false_positive": 1.0}}, "evaluate_model", "costs must hold every required option; missing: false_n"),
    ({"costs": {"a": {"b": "1"}}}, "evaluate_model", "costs['a']['b'] must be a finite number; got '1'."),
    ({"fairness_limits": {"max_parity": 0.1}}, "fairness_gate", "limits must hold known limits; got 'max_parity'."),
    ({"max_fairness_losses": {"parity": 0.1}}, "fairness_gate", "max_champion_losses must hold differences or ratios"),
    ({"sensitive_features": []}, "fairness_gate", "sensitive_features must name at least one column, by text; got []."),
    ({"sensitive_features": [["SEX"]]}, "fairness_gate", "by text; got [['SEX']]."),
    ({"sensitive_features": ["SEX", "SEX"]}, "fairness_gate", "sensitive_features must name each column once"),
    ({"min_group_size": 0}, "fairness_gate", "min_group_size must be at least 1; got 0."),
    ({"sensitive_features": ["SEX", "employed"]}, "split_dataset", "must not name the target; got 'employed'."),
    ({"robustness_limits": {"max_drop": 0.1}}, "robustness_gate", "limits must hold known limits; got 'max_drop'."),
    ({"robustness_strengths": {"noise": 0.1}}, "robustness_gate", "The strengths 'noise' must be a list of numbers"),
    ({"categorical_features": [5]}, "robustness_gate", "categorical_features must name features, by text; got 5."),
    ({"categorical_features": ["MAR", "employed"]}, "robustness_gate", "name features, by text; got 'employed'."),
    (
        {"explanation_limits": {"max_proxy_share": 2.0}},
        "explanation_gate",
        "'max_proxy_share' must be a number from 0 to 1",
    ),
    ({"privacy_limits": {"max_epsilon": 1.0}}, "privacy_gate", "missing: max_delta."),
    ({"deploy_target": "moon"}, "deploy_model", "target must be one that there is; got 'moon'."),
    ({"deployment": {"traffic": 10}}, "deploy_model", "deployment must hold options that there are; got 'traffic'."),
    ({"deploy_target": "kserve"}, "deploy_model", "deployment must hold every required option; missing: storage_uri"),
    ({"deploy_target": "vertex", "deployment": {"traffic": 0}}, "deploy_model", "must be 1 to 100 percent; got 0."),
    ({"deploy_target": "vertex", "deployment": {"keep": "1"}}, "deploy_model", "must be a whole number; got '1'."),
    (
        {"deploy_target": "vertex", "serving_dir": "/mnt/models"},
        "deploy_model",
        "serving_dir must be left out for the target vertex; got '/mnt/models'.",
    ),
    (
        {"deploy_target": "kserve", "serving_dir": "/mnt/models", "deployment": KSERVE},
        "deploy_model",
        "serving_dir must be left out for the target kserve; got '/mnt/models'.",
    ),
    ({"serving_dir": "gs://bucket/models"}, "deploy_model", "serving_dir must be a folder on this machine or a mou"),
    ({"vertex_registry": {"project": "p"}}, "register_model", "vertex must hold every required option; missing: loc"),
    ({"statement_uri": "/none/statement.yaml"}, "write_model_card", "statement_uri must be a YAML file; got"),
]


DELIVERED = {
    "data_uri": "/data/none.parquet",
    "baseline_uri": "/data/none.parquet",
    "target": "employed",
    "sensitive_features": ["SEX"],
    "bias_limits": {"min_group_share": 0.1},
}
REFUSED_DATA = [
    ({"bias_limits": {"min_group_shre": 0.1}}, "audit_dataset_bias", "limits must hold known limits; got 'min_group_s"),
    ({"bias_limits": {"min_representation_ratio": 1}}, "audit_dataset_bias", "together with population; got none."),
    ({"sensitive_features": []}, "audit_dataset_bias", "must name at least one column, by text; got []."),
    ({"sensitive_features": ["SEX", "SEX"]}, "audit_dataset_bias", "sensitive_features must name each column once"),
    ({"sensitive_features": ["employed"]}, "audit_dataset_bias", "must not name the target; got 'employed'."),
    ({"min_group_size": 0}, "audit_dataset_bias", "min_group_size must be at least 1; got 0."),
    ({"poisoning_limits": {}}, "screen_poisoning", "limits must hold at least one limit; got none."),
    ({"poisoning_limits": {"max_label_noise": 2}}, "screen_poisoning", "a number from 0 to 1; got 2."),
    ({"statement_uri": "/none/statement.yaml"}, "write_datasheet", "statement_uri must be a YAML file; got"),
]


@pytest.mark.parametrize(("parameters", "component", "message"), REFUSED_DATA)
def test_what_no_delivery_could_make_right_is_refused(parameters, component, message):
    with pytest.raises(InputError, match=rf"^{component} must be given what it can use\. .*{re.escape(message)}"):
        check_early(governed_dataset.pipeline_spec, DELIVERED | parameters, here=True)


def test_what_a_delivery_could_make_right_is_left_to_the_steps():
    given = {"poisoning_limits": {"max_label_shift": 0.3}, "population": {"SEX": {"1": 0.5, "2": 0.5}}}
    check_early(governed_dataset.pipeline_spec, DELIVERED | given, here=True)


def check(parameters, here=True):
    check_early(governed_training.pipeline_spec, GIVEN | parameters, here=here)


@pytest.mark.parametrize(("parameters", "component", "message"), REFUSED)
def test_what_no_data_could_make_right_is_refused(parameters, component, message):
    pattern = rf"^{component} must be given what it can use\. .*{re.escape(message)}"
    with pytest.raises(InputError, match=pattern):
        check(parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"performance_limits": {"min_roc_auc_ovr": 0.7, "max_log_loss": 1}},
        {"performance_limits": {"min_r2": 0.6, "max_root_mean_squared_error": 16.0}},
        {"privacy_limits": {"max_epsilon": 1.0, "max_delta": 1e-6}},
        {"deploy_target": "kserve", "deployment": KSERVE},
        {"deploy_target": "vertex", "deployment": {"accelerator_type": "NVIDIA_TESLA_T4", "traffic": 10.0}},
        {"serving_dir": "/mnt/models"},
        {"champion_metric": "f1", "champion_power": 0.8, "performance_limits": {"min_accuracy": 0.8}},
        {"champion_metric": "r2", "performance_limits": {"min_r2": 0.6}},
        {"costs": {"false_positive": 1, "false_negative": 5}, "found_slices": 50},
        {"categorical_features": ["MAR"]},
        {"statement_uri": "s3://cards/statement.yaml"},
    ],
)
def test_what_data_could_make_right_is_left_to_the_steps(parameters):
    check(parameters)


def test_a_statement_is_read_where_the_run_is_on_this_machine(tmp_path):
    file = tmp_path / "statement.yaml"
    file.write_text("ownr: Risk")
    with pytest.raises(InputError, match=r"The statement must hold known fields; got 'ownr'\.") as refused:
        check({"statement_uri": str(file)})
    assert refused.value.hint == "Did you mean 'owner'?"
    check({"statement_uri": str(file)}, here=False)
    file.write_text("owner: Risk")
    check({"statement_uri": str(file)})


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"performance_limits": {}}, "got none. Here limits is the run's performance_limits."),
        ({"sensitive_features": ["employed"]}, "'employed'. Here required_columns is the run's sensitive_features."),
        ({"sensitive_features": []}, "by text; got []."),
        ({"deploy_target": "moon"}, "got 'moon'. Here target is the run's deploy_target."),
    ],
)
def test_the_message_names_what_the_run_was_given(parameters, told):
    with pytest.raises(InputError) as refused:
        check(parameters)
    assert refused.value.message.endswith(told)


def test_nothing_is_started_or_written(tmp_path):
    with pytest.raises(InputError, match="deploy_model must be given"):
        runner.run(governed_training, GIVEN | {"deploy_target": "moon"}, state=tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def imported(artifact_class):
    return dsl.importer(artifact_uri="/made/elsewhere", artifact_class=artifact_class).output


def test_constants_in_a_pipeline_are_looked_at():
    @dsl.pipeline(name="own")
    def own():
        components.privacy_gate(model=imported(dsl.Model), limits={"max_epsilon": 1.0, "max_delta": -1.0})

    with pytest.raises(InputError, match=r"privacy_gate must be given what it can use\. limits\['max_delta'\]"):
        check_early(own.pipeline_spec, {}, here=True)


def test_what_only_the_run_tells_is_not_looked_at():
    @dsl.component(base_image="python:3.11")
    def deploy_model(target: str) -> str:
        return target

    @dsl.pipeline(name="own")
    def own(target: str = "local", ending: str = "n"):
        theirs = deploy_model(target="moon")
        for place in (theirs.output, f"moo{ending}", target):
            components.deploy_model(
                model=imported(dsl.Model),
                decision=imported(dsl.Artifact),
                registration=imported(dsl.Artifact),
                target=place,
            )

    check_early(own.pipeline_spec, {}, here=True)
    with pytest.raises(InputError, match="deploy_model must be given"):
        check_early(own.pipeline_spec, {"target": "moon"}, here=True)
