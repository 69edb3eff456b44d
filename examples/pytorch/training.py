"""Train a network with PyTorch, in an environment of its own, and judge it by Hallmark's gates.

`python training.py` writes training.yaml, which `hallmark run`, Kubeflow Pipelines and Vertex AI run.
"""

import os

from kfp import compiler, dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from kfp_hallmark import components

# On Linux, PyPI's own file of torch brings gigabytes for GPUs. Of one version pip takes the file of this index, +cpu.
TORCH_INDEX = os.environ.get("TORCH_INDEX", "https://download.pytorch.org/whl/cpu")


@dsl.component(
    base_image="python:3.11",
    packages_to_install=["torch==2.13.0", "mlflow-skinny==3.17.2", "numpy==2.4.6", "pandas==3.1.1", "pyarrow==25.0.1"],
    pip_index_urls=["https://pypi.org/simple", TORCH_INDEX],
)
def train_network(
    dataset: Input[Dataset],
    model: Output[Model],
    retrained: Output[Artifact],
    metrics: Output[Metrics],
    target: str,
    excluded_columns: list[str],
    hidden: int = 32,
    epochs: int = 6,
    seed: int = 0,
    retrainings: int = 5,
):
    """Train a network of one hidden layer on a dataset of numbers with a target of two classes.

    Args:
        dataset: Training data.
        model: MLflow model folder that predicts with NumPy alone.
        retrained: Folder of such models, trained alike with other seeds, which robustness_gate compares with the model.
        metrics: The last epoch's loss.
        target: Label column.
        excluded_columns: Columns that are not features.
        hidden: Width of the hidden layer.
        epochs: How often every row is seen.
        seed: Seed of everything random.
        retrainings: How many models to train with other seeds, the ones that follow.
    """
    import json
    import tempfile
    from pathlib import Path

    import mlflow.pyfunc
    import numpy
    import pandas
    import pyarrow.parquet
    import torch
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    # What predicts, as text: the folder then holds no pickle, and neither Python's version nor torch matters to it.
    network = """
import json

import numpy
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Network(PythonModel):
    def load_context(self, context):
        self.weights = dict(numpy.load(context.artifacts["weights"]))
        with open(context.artifacts["features"]) as file:
            self.features = json.load(file)

    def predict(self, context, model_input, params=None):
        parts = []
        for feature in self.features:
            values = model_input[feature["name"]].to_numpy(dtype="float64", na_value=numpy.nan)
            if "values" in feature:
                parts.append(values[:, None] == numpy.array(feature["values"]))
            else:
                filled = numpy.where(numpy.isnan(values), feature["mean"], values)
                parts.append((filled - feature["mean"])[:, None] / feature["deviation"])
        rows = numpy.hstack(parts).astype("float32")
        w = self.weights
        score = numpy.maximum(rows @ w["0.weight"].T + w["0.bias"], 0) @ w["2.weight"].T + w["2.bias"]
        positive = 1 / (1 + numpy.exp(-score[:, 0].astype("float64")))
        return numpy.column_stack([1 - positive, positive])


set_model(Network())
"""

    table = pyarrow.parquet.read_table(dataset.path)
    frame = table.to_pandas()
    classes = sorted(frame[target].unique().tolist())
    if len(classes) != 2:
        raise ValueError(f"target must have two classes; {target!r} has {len(classes)}.")
    names = [name for name in frame.columns if name != target and name not in excluded_columns]
    features = []
    for name in names:
        values = frame[name].astype("float64")
        codes = sorted(values.dropna().unique().tolist())
        if len(codes) <= 30:
            features.append({"name": name, "values": codes})
        else:
            features.append({"name": name, "mean": float(values.mean()), "deviation": float(values.std())})

    parts = []
    for feature in features:
        values = frame[feature["name"]].to_numpy(dtype="float64", na_value=numpy.nan)
        if "values" in feature:
            parts.append(values[:, None] == numpy.array(feature["values"]))
        else:
            filled = numpy.where(numpy.isnan(values), feature["mean"], values)
            parts.append((filled - feature["mean"])[:, None] / feature["deviation"])
    rows = torch.from_numpy(numpy.hstack(parts).astype("float32"))
    label = torch.from_numpy((frame[target] == classes[1]).to_numpy(dtype="float32"))

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    loss_of = torch.nn.BCEWithLogitsLoss()

    def fit(seed):
        """Return a network and its loss."""
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(rows.shape[1], hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 1))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.005)
        for _ in range(epochs):
            for batch in torch.randperm(len(rows)).split(256):
                optimizer.zero_grad()
                loss = loss_of(net(rows[batch])[:, 0], label[batch])
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            return net, float(loss_of(net(rows)[:, 0], label))

    # Where the data came from: Hallmark's steps write it into the file, and its digest into the artifact.
    bound = json.loads((table.schema.metadata or {}).get(b"hallmark", b"{}"))
    about = {
        "task": "binary",
        "target": target,
        "classes": classes,
        "positive_class": classes[1],
        "threshold": 0.5,
        "datasets": [dataset.metadata["digest"], *bound.get("lineage", [])],
    }

    def save(net, seed, path):
        with tempfile.TemporaryDirectory() as folder:
            weights = {name: value.numpy() for name, value in net.state_dict().items()}
            numpy.savez(Path(folder, "weights.npz"), **weights)
            Path(folder, "features.json").write_text(json.dumps(features))
            Path(folder, "network.py").write_text(network)
            mlflow.pyfunc.save_model(
                str(path),
                python_model=str(Path(folder, "network.py")),
                artifacts={"weights": str(Path(folder, "weights.npz")), "features": str(Path(folder, "features.json"))},
                signature=ModelSignature(
                    Schema([ColSpec("double", name) for name in names]),
                    Schema([ColSpec("double", str(value)) for value in classes]),
                ),
                input_example=pandas.DataFrame({name: [0.0] for name in names}),
                pip_requirements=["mlflow==3.17.2", "numpy==2.4.6", "pandas==3.1.1"],
                metadata={"hallmark": {**about, "seed": seed}},
            )

    net, loss = fit(seed)
    metrics.log_metric("training_log_loss", loss)
    save(net, seed, model.path)
    Path(retrained.path).mkdir(parents=True)
    for other in range(seed + 1, seed + 1 + retrainings):
        save(fit(other)[0], other, Path(retrained.path, f"seed_{other}"))
    model.metadata["framework"] = "pytorch"


@dsl.pipeline(name="network-training", display_name="Network training")
def network_training(
    data_uri: str,
    target: str,
    sensitive_features: list[str],
    performance_limits: dict,
    fairness_limits: dict,
    robustness_limits: dict,
    excluded_columns: list[str] = [],
    seed: int = 0,
):
    """Train a network on tabular data and judge it: evidence and a decision, and no release.

    Args:
        data_uri: CSV or Parquet.
        target: Label column, of two classes.
        sensitive_features: Columns whose values are the groups that must be treated alike.
        performance_limits: Limits of performance_gate.
        fairness_limits: Limits of fairness_gate.
        robustness_limits: Limits of robustness_gate.
        excluded_columns: Columns that are not features.
        seed: Seed of everything random.
    """
    load = components.load_dataset(uri=data_uri, required_columns=sensitive_features)
    split = components.split_dataset(dataset=load.outputs["dataset"], target=target, seed=seed)
    validate = components.validate_dataset(dataset=split.outputs["test"], baseline=split.outputs["train"])
    train = train_network(dataset=split.outputs["train"], target=target, excluded_columns=excluded_columns, seed=seed)
    evaluate = components.evaluate_model(model=train.outputs["model"], dataset=split.outputs["test"], target=target)
    performance = components.performance_gate(
        predictions=evaluate.outputs["predictions"], dataset=split.outputs["test"], limits=performance_limits
    )
    fairness = components.fairness_gate(
        predictions=evaluate.outputs["predictions"],
        dataset=split.outputs["test"],
        sensitive_features=sensitive_features,
        limits=fairness_limits,
    )
    robustness = components.robustness_gate(
        model=train.outputs["model"],
        retrained_models=train.outputs["retrained"],
        dataset=split.outputs["test"],
        target=target,
        limits=robustness_limits,
        strengths={"missing": [0.1], "noise": [0.1]},
    )
    components.explain_model(model=train.outputs["model"], dataset=split.outputs["test"], target=target, max_rows=100)
    components.decide_release(
        model=train.outputs["model"],
        dataset_verdict=validate.outputs["verdict"],
        performance_verdict=performance.outputs["verdict"],
        fairness_verdict=fairness.outputs["verdict"],
        robustness_verdict=robustness.outputs["verdict"],
        required_gates=["validate_dataset", "performance_gate", "fairness_gate", "robustness_gate"],
    )


if __name__ == "__main__":
    compiler.Compiler().compile(network_training, "training.yaml")
