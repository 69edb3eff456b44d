"""Custom jobs: a machine that the test brings runs their containers' commands."""

import threading

from fakes.vertex.errors import Refusal, require, require_display_name, require_labels, require_match
from google.cloud.aiplatform_v1 import types
from google.protobuf import empty_pb2
from google.rpc import status_pb2

ENDED = {
    types.JobState.JOB_STATE_SUCCEEDED,
    types.JobState.JOB_STATE_FAILED,
    types.JobState.JOB_STATE_CANCELLED,
}


class Jobs:
    """The custom jobs of JobService.

    Attributes:
        custom_jobs: Resource name to job.
        machine: What runs a job: a function of its container that returns why it failed, or None.
    """

    def __init__(self):
        super().__init__()
        self.custom_jobs, self.machine = {}, lambda container: None

    def custom_job(self, name):
        name = self.canonical(name)
        if name not in self.custom_jobs:
            raise Refusal("NOT_FOUND", f"The CustomJob {name!r} does not exist.")
        return self.custom_jobs[name]

    def create_custom_job(self, request):
        parent, given = self.location(request.parent), request.custom_job
        require_display_name(given.display_name)
        require_labels(given.labels)
        require(given.job_spec.worker_pool_specs, "worker_pool_specs must not be empty.")
        for pool in given.job_spec.worker_pool_specs:
            require_match(r"[a-z0-9]+(-[a-z0-9]+)+", pool.machine_spec.machine_type, "machine_type")
            require(pool.replica_count >= 1, "replica_count must be at least 1.")
            require(pool.container_spec.image_uri, "image_uri must be given.")
        made = types.CustomJob(given)
        made.name, made.create_time = f"{parent}/customJobs/{9000 + len(self.custom_jobs)}", self.now()
        made.state = types.JobState.JOB_STATE_PENDING
        self.custom_jobs[made.name] = made
        threading.Thread(target=self._run, args=(made,), daemon=True).start()
        return made

    def _run(self, job):
        with self.lock:
            job.state = types.JobState.JOB_STATE_RUNNING
        problem = self.machine(job.job_spec.worker_pool_specs[0].container_spec)
        with self.lock:
            if job.state == types.JobState.JOB_STATE_RUNNING:
                job.state = types.JobState.JOB_STATE_FAILED if problem else types.JobState.JOB_STATE_SUCCEEDED
                job.error = status_pb2.Status(code=3, message=problem or "")
                job.end_time = self.now()

    def get_custom_job(self, request):
        return self.custom_job(request.name)

    def list_custom_jobs(self, request):
        self.location(request.parent)
        return types.ListCustomJobsResponse(
            custom_jobs=self.filtered(list(self.custom_jobs.values())[::-1], request.filter)
        )

    def cancel_custom_job(self, request):
        job = self.custom_job(request.name)
        require(job.state not in ENDED, "The job has ended.", "FAILED_PRECONDITION")
        job.state = types.JobState.JOB_STATE_CANCELLED
        return empty_pb2.Empty()
