"""Train as training.py does, by a CustomJob on a machine of your choice on Vertex AI, and judge the model by our gates.

`python vertex.py` writes vertex.yaml, for Vertex AI.
"""

from kfp import compiler, dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output
from training import judge, train_lightgbm

from kfp_hallmark import components
from kfp_hallmark.component import component


# The image of the environment release holds Google's client.
@component(environment="release", size="small")
def run_custom_job(
    dataset: Input[Dataset],
    model: Output[Model],
    metrics: Output[Metrics],
    function: str,
    image: str,
    command: list,
    parameters: dict,
    project: str,
    location: str,
    machine_type: str,
    job_spec: dict = {},
):
    """Run a training component as a CustomJob on Vertex AI, and wait for it.

    A step that is retried, or that got no answer when it began its job, goes on with the job that there is.

    Args:
        dataset: Training data, in Cloud Storage.
        model: What the component writes to its output of this name.
        metrics: The same.
        function: The component's name; it has these three artifacts and no others.
        image: The component's image.
        command: The component's command.
        parameters: What the component is given.
        project: Google Cloud project.
        location: Region.
        machine_type: Machine to train on.
        job_spec: Further fields of Vertex AI's CustomJobSpec, such as service_account or scheduling.
    """
    import hashlib
    import json
    import signal
    import time
    from pathlib import Path

    from google.api_core.exceptions import GoogleAPICallError, ServerError, ServiceUnavailable
    from google.api_core.retry import Retry
    from google.cloud.aiplatform_v1 import JobServiceClient

    def described(artifact):
        kind = {"schemaTitle": artifact.schema_title, "schemaVersion": artifact.schema_version}
        return {"name": artifact.name, "uri": artifact.uri, "type": kind, "metadata": artifact.metadata}

    # What Vertex AI hands to a step, for the step that the job is. It finds gs:// below /gcs/, as steps do.
    output_file = Path(model.path).with_name("job.json")
    outputs = {"model": model, "metrics": metrics}
    handed = {
        "inputs": {"parameterValues": parameters, "artifacts": {"dataset": {"artifacts": [described(dataset)]}}},
        "outputs": {
            "artifacts": {name: {"artifacts": [described(artifact)]} for name, artifact in outputs.items()},
            "outputFile": str(output_file),
        },
    }
    job = {
        "display_name": function,
        "job_spec": {
            "worker_pool_specs": [
                {
                    "machine_spec": {"machine_type": machine_type},
                    "replica_count": 1,
                    "container_spec": {
                        "image_uri": image,
                        "command": command,
                        "args": ["--executor_input", json.dumps(handed), "--function_to_execute", function],
                    },
                }
            ],
            **job_spec,
        },
    }
    # No other step of any run writes its model there, so no other has this label; nor has another training.
    training = [dataset.metadata.get("digest"), function, image, command, parameters, machine_type, job_spec]
    label = hashlib.sha256(json.dumps([model.uri, *training], sort_keys=True).encode()).hexdigest()[:40]
    job["labels"] = {"hallmark_step": label}
    parent = f"projects/{project}/locations/{location}"
    again = Retry(lambda error: isinstance(error, ServiceUnavailable), timeout=600)
    client = JobServiceClient(client_options={"api_endpoint": f"{location}-aiplatform.googleapis.com"})

    def jobs():
        """Return the jobs that this step began, by name; there are several where one came to nothing."""
        asked = {"parent": parent, "filter": f'labels.hallmark_step="{label}"'}
        return {found.name: found for found in client.list_custom_jobs(asked, retry=again, timeout=60)}

    def of_use(found):
        if found.state.name.endswith("SUCCEEDED"):
            return output_file.is_file()
        return not found.state.name.endswith(("FAILED", "CANCELLING", "CANCELLED", "EXPIRED"))

    def begin(known):
        """Begin the job; where no answer comes, there may be one all the same."""
        try:
            return client.create_custom_job(parent=parent, custom_job=job, timeout=60)
        except ServerError:
            for _ in range(5):
                for name, found in jobs().items():
                    if name not in known:
                        return found
                time.sleep(2)
            raise

    cancelled = []
    signal.signal(signal.SIGTERM, lambda *_: cancelled.append(True))  # A step that is cancelled cancels its job.
    try:
        known = jobs()
        made = next(filter(of_use, known.values()), None) or begin(known)
        print(f"The job is {made.name}.", flush=True)
        while not made.state.name.endswith(("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")):
            if cancelled:
                client.cancel_custom_job(name=made.name, retry=again, timeout=60)
                raise RuntimeError(f"The step was cancelled, and with it the job {made.name}.")
            time.sleep(2)
            made = client.get_custom_job(name=made.name, retry=again, timeout=60)
    except GoogleAPICallError as error:
        answer = f"{error.grpc_status_code.name}: {error.message}"
        raise RuntimeError(f"Vertex AI must run the job; it answered {answer}") from None
    if not made.state.name.endswith("SUCCEEDED"):
        raise RuntimeError(f"The job {made.name} must succeed; it ended as {made.state.name}: {made.error.message}")
    written = json.loads(output_file.read_text())["artifacts"]
    for name, artifact in outputs.items():
        artifact.metadata.update(written[name]["artifacts"][0].get("metadata", {}))
    model.metadata["custom_job"] = made.name


@dsl.pipeline(name="lightgbm-custom-job", display_name="LightGBM by a CustomJob")
def lightgbm_custom_job(
    data_uri: str,
    target: str,
    sensitive_features: list[str],
    performance_limits: dict,
    fairness_limits: dict,
    robustness_limits: dict,
    training: dict,
    project: str,
    location: str,
    machine_type: str = "n2-highmem-32",
    job_spec: dict = {},
    seed: int = 0,
):
    """Train LightGBM on a machine of its own and judge it.

    Args:
        data_uri: CSV or Parquet.
        target: Label column, of two classes.
        sensitive_features: Columns whose values are the groups that must be treated alike.
        performance_limits: Limits of performance_gate.
        fairness_limits: Limits of fairness_gate.
        robustness_limits: Limits of robustness_gate.
        training: What train_lightgbm is given, target and excluded_columns among it.
        project: Google Cloud project.
        location: Region.
        machine_type: Machine to train on.
        job_spec: Further fields of the CustomJobSpec.
        seed: Seed of the split.
    """
    load = components.load_dataset(uri=data_uri, required_columns=sensitive_features)
    split = components.split_dataset(dataset=load.outputs["dataset"], target=target, seed=seed)
    container = train_lightgbm.component_spec.implementation.container
    train = run_custom_job(
        dataset=split.outputs["train"],
        function="train_lightgbm",
        image=container.image,
        command=container.command,
        parameters=training,
        project=project,
        location=location,
        machine_type=machine_type,
        job_spec=job_spec,
    )
    limits = (performance_limits, fairness_limits, robustness_limits)
    judge(train.outputs["model"], split, target, sensitive_features, *limits)


if __name__ == "__main__":
    compiler.Compiler().compile(lightgbm_custom_job, "vertex.yaml")
