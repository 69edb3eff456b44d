"""Train LightGBM distributed on Ray, in an environment of its own, and judge it by Hallmark's gates.

`python training.py` writes training.yaml, which `hallmark run`, Kubeflow Pipelines and Vertex AI run.
"""

from kfp import compiler, dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from kfp_hallmark import components


@dsl.component(
    base_image="python:3.11",
    packages_to_install=[
        "ray==2.60.0",
        "lightgbm==4.7.0",
        "mlflow-skinny==3.17.2",
        "numpy==2.4.6",
        "pandas==3.1.1",
        "pyarrow==25.0.1",
    ],
)
def train_lightgbm(
    dataset: Input[Dataset],
    model: Output[Model],
    metrics: Output[Metrics],
    target: str,
    excluded_columns: list[str],
    parameters: dict = {},
    rounds: int = 100,
    workers: int = 2,
    threads: int = 1,
    ray_address: str = "local",
    seed: int = 0,
):
    """Train LightGBM on a dataset of numbers with a target of two classes; each worker holds a part of the rows.

    Args:
        dataset: Training data, where every worker can read them.
        model: MLflow model folder.
        metrics: Rows, workers and trees.
        target: Label column.
        excluded_columns: Columns that are not features.
        parameters: LightGBM's parameters.
        rounds: How many trees.
        workers: How many processes train together.
        threads: How many cores each has.
        ray_address: The Ray cluster; local starts one in this step, and ends it.
        seed: Seed of everything random.
    """
    import json
    import os
    import secrets
    import tempfile
    from pathlib import Path

    import lightgbm
    import mlflow.lightgbm
    import pandas
    import pyarrow.parquet
    import ray
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    path = Path(dataset.path).resolve()
    files = [str(file) for file in sorted(path.rglob("*.parquet"))] if path.is_dir() else [str(path)]
    schema = pyarrow.parquet.read_schema(files[0])
    names = [name for name in schema.names if name != target and name not in excluded_columns]
    total = sum(pyarrow.parquet.read_metadata(file).num_rows for file in files)
    label = pyarrow.chunked_array(
        [chunk for file in files for chunk in pyarrow.parquet.read_table(file, columns=[target])[target].chunks]
    )
    classes = sorted(label.unique().to_pylist())
    if len(classes) != 2:
        raise ValueError(f"target must have two classes; {target!r} has {len(classes)}.")

    @ray.remote(num_cpus=threads)
    class Worker:
        """Holds a part of the rows, on whatever machine Ray put it."""

        def address(self):
            import socket

            with socket.socket() as free:
                free.bind(("", 0))
                return f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"

        def rows(self, rank):
            """Return the worker's rows: as many as each has, of the row groups that hold them and no others."""
            start, stop, seen, parts = total * rank // workers, total * (rank + 1) // workers, 0, []
            for file in files:
                parquet = pyarrow.parquet.ParquetFile(file)
                for group in range(parquet.num_row_groups):
                    count = parquet.metadata.row_group(group).num_rows
                    first, last = max(start - seen, 0), min(stop - seen, count)
                    if first < last:
                        table = parquet.read_row_group(group, columns=[*names, target])
                        parts.append(table.slice(first, last - first))
                    seen += count
            return pyarrow.concat_tables(parts).to_pandas()

        def train(self, rank, addresses):
            frame = self.rows(rank)
            positive = frame.pop(target) == classes[1]
            booster = lightgbm.train(
                {
                    "objective": "binary",
                    "verbosity": -1,
                    "deterministic": True,
                    "force_row_wise": True,
                    **parameters,
                    "seed": seed,
                    "num_threads": threads,
                    # Without these two, every worker trains by itself on its own rows, and nothing says so.
                    "tree_learner": "data",
                    "pre_partition": True,
                    "num_machines": workers,
                    "machines": ",".join(addresses),
                    "local_listen_port": int(addresses[rank].rpartition(":")[2]),
                },
                lightgbm.Dataset(frame[names].astype("float64"), positive),
                rounds,
            )
            return booster.model_to_string() if rank == 0 else None

    # A folder with a short name, for Ray's sockets; its objects there too, for a container's /dev/shm is small.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        options = {}
        if ray_address == "local":
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
            os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
            options = {"num_cpus": workers * threads, "object_store_memory": 100 * 2**20, "include_dashboard": False}
            options |= {"_temp_dir": folder, "_plasma_directory": folder}
        ray.init(ray_address, log_to_driver=False, **options)
        try:
            team = [Worker.remote() for _ in range(workers)]
            addresses = ray.get([worker.address.remote() for worker in team])
            text, *_ = ray.get([worker.train.remote(rank, addresses) for rank, worker in enumerate(team)])
        finally:
            ray.shutdown()
    booster = lightgbm.Booster(model_str=text)
    seen = booster.dump_model(num_iteration=1)["tree_info"][0]["tree_structure"].get("internal_count")
    if seen != total:
        raise RuntimeError(f"The first tree must be of all {total:,} rows; it is of {seen}.")
    for name, value in (("rows", total), ("workers", workers), ("trees", booster.num_trees())):
        metrics.log_metric(name, value)

    # Where the data came from: Hallmark's steps write it into the file, and its digest into the artifact.
    bound = json.loads((schema.metadata or {}).get(b"hallmark", b"{}"))
    about = {
        "task": "binary",
        "target": target,
        "classes": classes,
        "positive_class": classes[1],
        "threshold": 0.5,
        "datasets": [dataset.metadata["digest"], *bound.get("lineage", [])],
        "seed": seed,
    }
    mlflow.lightgbm.save_model(
        booster,
        model.path,
        signature=ModelSignature(
            Schema([ColSpec("double", name) for name in names]), Schema([ColSpec("double", str(classes[1]))])
        ),
        input_example=pandas.DataFrame({name: [0.0] for name in names}),
        pip_requirements=["mlflow==3.17.2", "lightgbm==4.7.0", "pandas==3.1.1"],
        metadata={"hallmark": about},
    )
    model.metadata["framework"] = "lightgbm"


def judge(model, split, target, sensitive_features, performance_limits, fairness_limits, robustness_limits):
    """Add the steps that judge a model: evidence and a decision, and no release."""
    test = split.outputs["test"]
    validate = components.validate_dataset(dataset=test, baseline=split.outputs["train"])
    evaluate = components.evaluate_model(model=model, dataset=test, target=target)
    predictions = evaluate.outputs["predictions"]
    performance = components.performance_gate(predictions=predictions, dataset=test, limits=performance_limits)
    fairness = components.fairness_gate(
        predictions=predictions, dataset=test, sensitive_features=sensitive_features, limits=fairness_limits
    )
    robustness = components.robustness_gate(
        model=model,
        dataset=test,
        target=target,
        limits=robustness_limits,
        strengths={"missing": [0.1], "noise": [0.1]},
    )
    components.explain_model(model=model, dataset=test, target=target, max_rows=100)
    components.decide_release(
        model=model,
        dataset_verdict=validate.outputs["verdict"],
        performance_verdict=performance.outputs["verdict"],
        fairness_verdict=fairness.outputs["verdict"],
        robustness_verdict=robustness.outputs["verdict"],
        required_gates=["validate_dataset", "performance_gate", "fairness_gate", "robustness_gate"],
    )


@dsl.pipeline(name="lightgbm-on-ray", display_name="LightGBM on Ray")
def lightgbm_on_ray(
    data_uri: str,
    target: str,
    sensitive_features: list[str],
    performance_limits: dict,
    fairness_limits: dict,
    robustness_limits: dict,
    excluded_columns: list[str] = [],
    parameters: dict = {},
    workers: int = 2,
    threads: int = 1,
    ray_address: str = "local",
    seed: int = 0,
):
    """Train LightGBM on Ray and judge it.

    Args:
        data_uri: CSV or Parquet.
        target: Label column, of two classes.
        sensitive_features: Columns whose values are the groups that must be treated alike.
        performance_limits: Limits of performance_gate.
        fairness_limits: Limits of fairness_gate.
        robustness_limits: Limits of robustness_gate.
        excluded_columns: Columns that are not features.
        parameters: LightGBM's parameters.
        workers: How many processes train together.
        threads: How many cores each has.
        ray_address: The Ray cluster; local starts one in the step.
        seed: Seed of everything random.
    """
    load = components.load_dataset(uri=data_uri, required_columns=sensitive_features)
    split = components.split_dataset(dataset=load.outputs["dataset"], target=target, seed=seed)
    train = train_lightgbm(
        dataset=split.outputs["train"],
        target=target,
        excluded_columns=excluded_columns,
        parameters=parameters,
        workers=workers,
        threads=threads,
        ray_address=ray_address,
        seed=seed,
    ).set_env_variable("MLFLOW_DISABLE_TELEMETRY", "true")
    limits = (performance_limits, fairness_limits, robustness_limits)
    judge(train.outputs["model"], split, target, sensitive_features, *limits)


if __name__ == "__main__":
    compiler.Compiler().compile(lightgbm_on_ray, "training.yaml")
