"""From a delivery of data to a dataset that may be trained on, or to a halt with the evidence of why."""

from typing import Dict, List, Optional

from kfp import dsl

from kfp_hallmark import components


@dsl.pipeline(name="governed-dataset", display_name="Governed dataset")
def governed_dataset(
    data_uri: str,
    baseline_uri: str,
    target: str,
    sensitive_features: List[str],
    bias_limits: Dict,
    poisoning_limits: Optional[Dict] = None,
    positive_class: Optional[str] = None,
    population: Dict = {},
    excluded_columns: List[str] = [],
    contract_uri: Optional[str] = None,
    statement_uri: Optional[str] = None,
    data_digest: Optional[str] = None,
    max_data_age_hours: Optional[float] = None,
    allowed_keys: Optional[List[str]] = None,
    min_rows: int = 1000,
    min_group_size: int = 100,
    seed: int = 0,
    audit_log: Optional[str] = None,
):
    """Judge data before any model learns from them, and describe them; the run fails unless they pass.

    Args:
        data_uri: Path or fsspec URI of a CSV file, a Parquet file, or a folder of Parquet files.
        baseline_uri: The data that were accepted last, likewise; for the first, the data themselves.
        target: Label column.
        sensitive_features: Columns whose values are the groups that audit_dataset_bias and the datasheet tell of.
        bias_limits: Limits of audit_dataset_bias, such as {"min_disparate_impact_ratio": 0.8}.
        poisoning_limits: Limits of screen_poisoning, which has defaults.
        positive_class: The label whose rate is compared when there are two. Default: the later in sorted order.
        population: Sensitive feature to group to its share of those whom the data are to represent.
        excluded_columns: Columns that are not judged: identifiers.
        contract_uri: Data contract (.yaml), or TFDV schema in text format. Default: a schema from the baseline.
        statement_uri: YAML file of what a person must say in the datasheet. Default: all is missing there.
        data_digest: SHA-256 that the source must have.
        max_data_age_hours: Greatest age of the source in hours.
        allowed_keys: Public keys of which one must have signed the data, and one the baseline, as load_dataset takes
            them.
        min_rows: Fewest rows, of the data and the baseline, by which drift is judged.
        min_group_size: Fewest rows by which a group is judged.
        seed: Seed of everything random.
        audit_log: Path of the audit log. Default: HALLMARK_AUDIT_LOG.
    """
    record = components.record_run(
        pipeline="governed-dataset", run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, data_uri=data_uri, audit_log=audit_log
    )
    with dsl.ExitHandler(record, name="governed"):
        load = components.load_dataset(
            uri=data_uri,
            expected_digest=data_digest,
            max_age_hours=max_data_age_hours,
            required_columns=sensitive_features,
            allowed_keys=allowed_keys,
        )
        baseline = components.load_dataset(uri=baseline_uri, allowed_keys=allowed_keys).set_display_name(
            "load-baseline"
        )
        validate = components.validate_dataset(
            dataset=load.outputs["dataset"],
            baseline=baseline.outputs["dataset"],
            contract_uri=contract_uri,
            excluded_columns=excluded_columns,
            min_rows=min_rows,
            seed=seed,
        )
        audit = components.audit_dataset_bias(
            dataset=load.outputs["dataset"],
            target=target,
            sensitive_features=sensitive_features,
            limits=bias_limits,
            positive_class=positive_class,
            population=population,
            excluded_columns=excluded_columns,
            min_group_size=min_group_size,
            seed=seed,
        )
        screen = components.screen_poisoning(
            dataset=load.outputs["dataset"],
            baseline=baseline.outputs["dataset"],
            target=target,
            limits=poisoning_limits,
            excluded_columns=excluded_columns,
            min_rows=min_rows,
            seed=seed,
        )
        sheet = components.write_datasheet(
            dataset=load.outputs["dataset"],
            dataset_verdict=validate.outputs["verdict"],
            bias_verdict=audit.outputs["verdict"],
            poisoning_verdict=screen.outputs["verdict"],
            statement_uri=statement_uri,
            sensitive_columns=sensitive_features,
            min_group_size=min_group_size,
        )
        components.enforce_verdicts(
            dataset=load.outputs["dataset"],
            dataset_verdict=validate.outputs["verdict"],
            bias_verdict=audit.outputs["verdict"],
            poisoning_verdict=screen.outputs["verdict"],
        ).after(sheet)
