"""From data to a deployed model, or to a halt with the evidence of why."""

from typing import Dict, List, Optional

from kfp import dsl

from kfp_hallmark import components

OUTCOME_RELEASE = "release"
REQUIRED_GATES = [
    "validate_dataset",
    "performance_gate",
    "fairness_gate",
    "robustness_gate",
    "explanation_gate",
    "privacy_gate",
]


@dsl.pipeline(name="governed-training", display_name="Governed training")
def governed_training(
    data_uri: str,
    target: str,
    model_name: str,
    sensitive_features: List[str],
    performance_limits: Dict,
    fairness_limits: Dict,
    estimator: str = "sklearn.ensemble.HistGradientBoostingClassifier",
    estimator_parameters: Dict = {},
    excluded_columns: List[str] = [],
    positive_class: Optional[str] = None,
    mitigation: Dict = {},
    privacy: Dict = {},
    privacy_limits: Dict = {},
    test_fraction: float = 0.3,
    key_column: Optional[str] = None,
    group_column: Optional[str] = None,
    time_column: Optional[str] = None,
    slices: List[str] = [],
    found_slices: int = 0,
    costs: Dict = {},
    contract_uri: Optional[str] = None,
    data_digest: Optional[str] = None,
    max_data_age_hours: Optional[float] = None,
    allowed_keys: Optional[List[str]] = None,
    min_rows: int = 1000,
    min_group_size: int = 100,
    serving_limits: Dict = {},
    champion_metric: Optional[str] = None,
    champion_question: str = "non_inferiority",
    champion_power: Optional[float] = None,
    max_champion_loss: float = 0.01,
    max_slice_loss: float = 0.05,
    max_fairness_losses: Dict = {},
    robustness_limits: Dict = {
        "max_missing_drop": 0.2,
        "max_noise_drop": 0.1,
        "max_typo_drop": 0.1,
        "max_unseen_drop": 0.1,
    },
    robustness_strengths: Dict = {"missing": [0.1], "noise": [0.1], "typo": [0.1], "unseen": [0.1]},
    categorical_features: List[str] = [],
    explanation_limits: Dict = {"max_single_feature_share": 0.95, "max_champion_distance": 0.5},
    statement_uri: Optional[str] = None,
    seed: int = 0,
    experiment: str = "hallmark",
    tracking_uri: Optional[str] = None,
    serving_dir: Optional[str] = None,
    deploy_target: str = "local",
    deployment: Dict = {},
    vertex_registry: Dict = {},
    audit_log: Optional[str] = None,
):
    """Train a model on tabular data, judge it, and release it only with evidence.

    Args:
        data_uri: Path or fsspec URI of a CSV file, a Parquet file, or a folder of Parquet files.
        target: Label column.
        model_name: Name under which the model is registered and served.
        sensitive_features: Columns whose values, at most 100, or 20 numbers, are the groups that must be treated alike.
            The model card and the explanation tell of them too.
        performance_limits: Limits of performance_gate, such as {"min_roc_auc": 0.8}.
        fairness_limits: Limits of fairness_gate, such as {"max_demographic_parity_difference": 0.1}.
        estimator: Import path of a class with the scikit-learn API.
        estimator_parameters: Arguments of the estimator.
        excluded_columns: Columns that are neither features nor judged by validate_dataset.
        positive_class: The class that a score is the probability of. Default: the greater of two.
        mitigation: How a binary classifier is made to treat groups alike, as train_model takes it.
        privacy: How private the training is for the people in the data, and its ledger, as train_model takes them.
        privacy_limits: Limits of privacy_gate on all trainings in the ledger. Default: what privacy asks for, once.
        test_fraction: Share of the rows for the test, above 0 and below 1.
        key_column: Column that identifies a row, whose hash decides the split. Default: all columns.
        group_column: Column whose rows with the same value stay on one side of the split.
        time_column: Column by which the latest rows are the test.
        slices: Columns by whose values to evaluate, and to compare with the champion, separately.
        found_slices: How many of the worst slices evaluate_model searches, at most 50.
        costs: Costs of decisions, by which evaluate_model chooses a threshold too, as it takes them.
        contract_uri: Data contract (.yaml), or TFDV schema in text format, that the data as loaded must fit. Default: a
            schema inferred from the training side.
        data_digest: SHA-256 that the source must have.
        max_data_age_hours: Greatest age of the source in hours.
        allowed_keys: Public keys of which one must have signed the source, as load_dataset takes them.
        min_rows: Fewest rows, of each side of the split, by which drift between them is judged.
        min_group_size: Fewest rows by which a group is judged.
        serving_limits: Limits on latency, size and cost of the model as it is served, as performance_gate takes them.
        champion_metric: Metric by which to compare with the champion. Default: roc_auc, roc_auc_ovr or r2, by the task.
        champion_question: What must be shown of the model and the champion: superiority, non_inferiority, equivalence.
        champion_power: Probability by which the rows must suffice to show it. Default: not asked.
        max_champion_loss: The difference from the champion that matters, in the metric's unit.
        max_slice_loss: How much worse than the champion the model may be on a slice.
        max_fairness_losses: Disparity to how much worse than the champion's it may be, as fairness_gate takes them.
        robustness_limits: Limits of robustness_gate, in the unit of balanced accuracy, or of r2 for a regression.
        robustness_strengths: How strongly robustness_gate perturbs: by default a tenth of the values, or noise of a
            tenth of a standard deviation.
        categorical_features: Columns of numbers that robustness_gate takes as codes of categories.
        explanation_limits: Limits of explanation_gate; the sensitive features are what it takes for forbidden.
        statement_uri: YAML file of what a person must say in the model card. Default: all is missing there.
        seed: Seed of everything random.
        experiment: MLflow experiment.
        tracking_uri: MLflow tracking server or store. Default: MLFLOW_TRACKING_URI.
        serving_dir: Folder that models are served from. Default: HALLMARK_SERVING_DIR.
        deploy_target: Where to deploy, as deploy_model takes it.
        deployment: Options of the target, as deploy_model takes them.
        vertex_registry: Options by which register_model brings the version to Vertex AI too. Default: it does not.
        audit_log: Path of the audit log. Default: HALLMARK_AUDIT_LOG.
    """
    record = components.record_run(
        pipeline="governed-training",
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        data_uri=data_uri,
        model_name=model_name,
        audit_log=audit_log,
        experiment=experiment,
        tracking_uri=tracking_uri,
    )
    with dsl.ExitHandler(record, name="governed"):
        load = components.load_dataset(
            uri=data_uri,
            expected_digest=data_digest,
            max_age_hours=max_data_age_hours,
            required_columns=slices,
            allowed_keys=allowed_keys,
        )
        split = components.split_dataset(
            dataset=load.outputs["dataset"],
            target=target,
            test_fraction=test_fraction,
            key_column=key_column,
            group_column=group_column,
            time_column=time_column,
            seed=seed,
            required_columns=sensitive_features,
        )
        validate = components.validate_dataset(
            dataset=split.outputs["test"],
            baseline=split.outputs["train"],
            delivered=load.outputs["dataset"],
            contract_uri=contract_uri,
            excluded_columns=excluded_columns,
            min_rows=min_rows,
        )
        train = components.train_model(
            dataset=split.outputs["train"],
            target=target,
            estimator=estimator,
            estimator_parameters=estimator_parameters,
            excluded_columns=excluded_columns,
            positive_class=positive_class,
            mitigation=mitigation,
            privacy=privacy,
            seed=seed,
            experiment=experiment,
            tracking_uri=tracking_uri,
            required_features=categorical_features,
        )
        evaluate = components.evaluate_model(
            model=train.outputs["model"],
            dataset=split.outputs["test"],
            target=target,
            slices=slices,
            found_slices=found_slices,
            costs=costs,
            seed=seed,
        )
        performance = components.performance_gate(
            predictions=evaluate.outputs["predictions"],
            dataset=split.outputs["test"],
            limits=performance_limits,
            model=train.outputs["model"],
            serving_limits=serving_limits,
            model_name=model_name,
            champion_metric=champion_metric,
            champion_question=champion_question,
            max_champion_loss=max_champion_loss,
            power=champion_power,
            slices=slices,
            max_slice_loss=max_slice_loss,
            seed=seed,
            tracking_uri=tracking_uri,
        )
        fairness = components.fairness_gate(
            predictions=evaluate.outputs["predictions"],
            dataset=split.outputs["test"],
            sensitive_features=sensitive_features,
            limits=fairness_limits,
            min_group_size=min_group_size,
            seed=seed,
            model_name=model_name,
            max_champion_losses=max_fairness_losses,
            tracking_uri=tracking_uri,
        )
        robustness = components.robustness_gate(
            model=train.outputs["model"],
            dataset=split.outputs["test"],
            target=target,
            limits=robustness_limits,
            strengths=robustness_strengths,
            categorical_features=categorical_features,
            seed=seed,
            training=split.outputs["train"],
        )
        explain = components.explain_model(
            model=train.outputs["model"],
            dataset=split.outputs["test"],
            target=target,
            seed=seed,
            cohort_columns=sensitive_features,
        )
        explanation = components.explanation_gate(
            importances=explain.outputs["importances"],
            dataset=split.outputs["test"],
            limits=explanation_limits,
            forbidden_features=sensitive_features,
            model_name=model_name,
            seed=seed,
            tracking_uri=tracking_uri,
        )
        spent = components.privacy_gate(model=train.outputs["model"], limits=privacy_limits, privacy=privacy)
        decide = components.decide_release(
            model=train.outputs["model"],
            dataset_verdict=validate.outputs["verdict"],
            performance_verdict=performance.outputs["verdict"],
            fairness_verdict=fairness.outputs["verdict"],
            robustness_verdict=robustness.outputs["verdict"],
            explanation_verdict=explanation.outputs["verdict"],
            additional_verdicts=spent.outputs["verdict"],
            required_gates=REQUIRED_GATES,
        )
        card = components.write_model_card(
            model=train.outputs["model"],
            predictions=evaluate.outputs["predictions"],
            dataset=split.outputs["test"],
            decision=decide.outputs["decision"],
            importances=explain.outputs["importances"],
            statement_uri=statement_uri,
            group_columns=sensitive_features,
            min_group_size=min_group_size,
            seed=seed,
        )
        log = components.log_run(
            pipeline="governed-training",
            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            decision=decide.outputs["decision"],
            training_metrics=train.outputs["metrics"],
            evaluation_metrics=evaluate.outputs["metrics"],
            explanation_metrics=explain.outputs["metrics"],
            dataset_report=validate.outputs["report"],
            evaluation_report=evaluate.outputs["report"],
            performance_report=performance.outputs["report"],
            fairness_report=fairness.outputs["report"],
            robustness_report=robustness.outputs["report"],
            explanation_report=explain.outputs["report"],
            explanation_gate_report=explanation.outputs["report"],
            privacy_report=spent.outputs["report"],
            decision_report=decide.outputs["report"],
            model_card=card.outputs["card"],
            training_run_id=train.outputs["run_id"],
            experiment=experiment,
            tracking_uri=tracking_uri,
        )
        with dsl.If(decide.outputs["outcome"] == OUTCOME_RELEASE, name="release"):
            register = components.register_model(
                model=train.outputs["model"],
                decision=decide.outputs["decision"],
                model_name=model_name,
                tracking_uri=tracking_uri,
                vertex=vertex_registry,
            ).after(log)
            components.deploy_model(
                model=train.outputs["model"],
                decision=decide.outputs["decision"],
                registration=register.outputs["registration"],
                target=deploy_target,
                deployment=deployment,
                serving_dir=serving_dir,
                tracking_uri=tracking_uri,
            )
        with dsl.Else(name="halt"):
            components.enforce_decision(decision=decide.outputs["decision"]).after(log)
