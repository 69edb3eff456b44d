"""Pipeline jobs and their schedules."""

import re

from fakes.vertex.errors import Refusal, require, require_display_name, require_labels, require_match
from google.cloud.aiplatform_v1 import types
from google.protobuf import empty_pb2, json_format

JOB_ID = r"[a-z][-a-z0-9]{0,127}"
CRON = r"((CRON_)?TZ=[A-Za-z0-9_+/-]+ )?([0-9A-Za-z*?,/-]+ ){4}[0-9A-Za-z*?,/-]+"
ENDED = {
    types.PipelineState.PIPELINE_STATE_SUCCEEDED,
    types.PipelineState.PIPELINE_STATE_FAILED,
    types.PipelineState.PIPELINE_STATE_CANCELLED,
}
ENDS = {False: types.PipelineState.PIPELINE_STATE_SUCCEEDED, True: types.PipelineState.PIPELINE_STATE_FAILED}


class Pipelines:
    """The methods of PipelineService and ScheduleService.

    Attributes:
        jobs: Resource name to pipeline job; the test says what becomes of it.
        schedules: Resource name to schedule.
    """

    def __init__(self):
        super().__init__()
        self.jobs, self.schedules, self.stages = {}, {}, []

    def goes(self, *stages):
        """Say how the jobs go: for each look at one the states of its tasks; then it ends as these say.

        A stage may also be a function, which is called.
        """
        self.stages = [*stages, None]

    def _advance(self, job):
        """Go on to what the next look at a job is to see."""
        if not self.stages or job.state in ENDED:
            return
        stage = self.stages.pop(0)
        if callable(stage):
            stage()
        elif stage is None:
            failed = any(task.state.name == "FAILED" for task in job.job_detail.task_details)
            job.state, job.end_time = ENDS[failed], self.now()
        else:
            job.state = types.PipelineState.PIPELINE_STATE_RUNNING
            job.job_detail.task_details = [
                {"task_id": 1, "task_name": job.name.rpartition("/")[2], "state": "RUNNING"},
                *(
                    {"task_id": number, "parent_task_id": 1, "task_name": name, "state": state}
                    for number, (name, state) in enumerate(stage.items(), 2)
                ),
            ]

    def job(self, name):
        name = self.canonical(name)
        if name not in self.jobs:
            raise Refusal("NOT_FOUND", f"The PipelineJob {name!r} does not exist.")
        return self.jobs[name]

    def schedule(self, name):
        name = self.canonical(name)
        if name not in self.schedules:
            raise Refusal("NOT_FOUND", f"The Schedule {name!r} does not exist.")
        return self.schedules[name]

    def _require_job(self, job):
        """Hold a job to what the service takes: the spec in the protocol's own form, parameters as it declares them."""
        from kfp.pipeline_spec import pipeline_spec_pb2

        require_display_name(job.display_name or "schedule")
        require_labels(job.labels)
        try:
            written = json_format.MessageToDict(types.PipelineJob.pb(job).pipeline_spec)
            spec = json_format.ParseDict(written, pipeline_spec_pb2.PipelineSpec())
        except json_format.ParseError as error:
            raise Refusal("INVALID_ARGUMENT", f"pipeline_spec cannot be read: {error}") from error
        require(spec.pipeline_info.name and spec.root.dag.tasks, "pipeline_spec must have a name and tasks.")
        require_match(r"gs://[a-z0-9._-]+(/.*)?", job.runtime_config.gcs_output_directory, "gcs_output_directory")
        declared = spec.root.input_definitions.parameters
        given = types.PipelineJob.pb(job).runtime_config.parameter_values
        for name in given:
            require(name in declared, f"The input parameter {name!r} is not found in the pipeline.")
        for name, parameter in declared.items():
            optional = parameter.is_optional or parameter.HasField("default_value")
            require(optional or name in given, f"The required input parameter {name!r} is missing.")
            kind = parameter.parameter_type
            if name in given and kind == pipeline_spec_pb2.ParameterType.STRING:
                require(given[name].HasField("string_value"), f"The input parameter {name!r} must be a string.")

    def create_pipeline_job(self, request):
        parent = self.location(request.parent)
        identifier = request.pipeline_job_id or f"job-{len(self.jobs)}"
        require_match(JOB_ID, identifier, "pipeline_job_id")
        name = f"{parent}/pipelineJobs/{identifier}"
        require(name not in self.jobs, f"The PipelineJob {name!r} already exists.", "ALREADY_EXISTS")
        self._require_job(request.pipeline_job)
        made = types.PipelineJob(request.pipeline_job)
        made.name, made.create_time, made.update_time = name, self.now(), self.now()
        made.state = types.PipelineState.PIPELINE_STATE_PENDING
        made.job_detail.pipeline_run_context = self.context(parent, identifier, "system.PipelineRun")
        self.jobs[name] = made
        return made

    def get_pipeline_job(self, request):
        job = self.job(request.name)
        answer = types.PipelineJob(job)
        self._advance(job)
        return answer

    def list_pipeline_jobs(self, request):
        parent = self.location(request.parent)
        found = [job for name, job in self.jobs.items() if name.startswith(parent)]
        found.sort(key=lambda job: job.create_time, reverse="create_time desc" in request.order_by)
        start, size = int(request.page_token or 0), request.page_size or 2
        found = self.filtered(found, request.filter)
        return types.ListPipelineJobsResponse(
            pipeline_jobs=found[start : start + size],
            next_page_token=str(start + size) if start + size < len(found) else "",
        )

    def cancel_pipeline_job(self, request):
        job = self.job(request.name)
        require(job.state not in ENDED, "The job has ended.", "FAILED_PRECONDITION")
        job.state = types.PipelineState.PIPELINE_STATE_CANCELLING
        return empty_pb2.Empty()

    def create_schedule(self, request):
        parent, given = self.location(request.parent), request.schedule
        require_display_name(given.display_name)
        require_match(CRON, given.cron, "cron")
        require(given.max_concurrent_run_count >= 1, "max_concurrent_run_count must be at least 1.")
        inner = given.create_pipeline_job_request
        require(self.location(inner.parent) == parent, "The job must be in the schedule's location.")
        self._require_job(inner.pipeline_job)
        made = types.Schedule(given)
        made.name, made.create_time = f"{parent}/schedules/{7000 + len(self.schedules)}", self.now()
        made.state, made.next_run_time = types.Schedule.State.ACTIVE, self.now()
        self.schedules[made.name] = made
        return made

    def get_schedule(self, request):
        return self.schedule(request.name)

    def list_schedules(self, request):
        self.location(request.parent)
        found = self.filtered(list(self.schedules.values()), request.filter)
        if "create_time desc" in request.order_by:
            found.reverse()
        return types.ListSchedulesResponse(schedules=found)

    def pause_schedule(self, request):
        self.schedule(request.name).state = types.Schedule.State.PAUSED
        return empty_pb2.Empty()

    def delete_schedule(self, request):
        name = self.schedule(request.name).name

        def commit():
            del self.schedules[name]
            return empty_pb2.Empty()

        return self.begin(name, "DeleteSchedule", commit, types.DeleteOperationMetadata())

    def tick(self, name):
        """Let a schedule start a run, as the service does when its time has come."""
        schedule = self.schedule(name)
        number = sum(job.schedule_name == schedule.name for job in self.jobs.values())
        job = re.sub(r"[^a-z0-9-]", "-", f"{schedule.display_name.lower()}-{number}")
        inner = types.CreatePipelineJobRequest(schedule.create_pipeline_job_request)
        inner.pipeline_job_id = inner.pipeline_job.display_name = job
        made = self.create_pipeline_job(inner)
        made.schedule_name = schedule.name
        return made
