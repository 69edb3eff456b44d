"""`hallmark submit`: run a pipeline on Kubeflow or Vertex AI, once or by a schedule."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, TypeAlias

import typer
from rich.console import Console

from kfp_hallmark.cli.parameters import Given, Params, gather, split
from kfp_hallmark.cli.runs import SettingsFile, show_run, tell, wait_for
from kfp_hallmark.errors import InputError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Every: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="Start a run each 90s, 30m, 6h or 1d. Kubeflow only.")
]


def submit(
    pipeline: Annotated[
        str, typer.Argument(help="A pipeline's name, module:function, or the path of a compiled pipeline's YAML.")
    ],
    platform: Annotated[str, typer.Option(help="Where it is to run: kubeflow or vertex.")],
    params: Params = None,
    given: Given = None,
    experiment: Annotated[str | None, typer.Option(help="Experiment that the run belongs to; made if need be.")] = None,
    run_name: Annotated[
        str | None, typer.Option(help="Name of the run or schedule. Default: of the pipeline, with the time of a run.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A label of the run. Vertex AI only.")
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run every step, also where nothing has changed.")
    ] = False,
    cron: Annotated[
        str | None, typer.Option(help="Start runs by a schedule: minute, hour, day, month and weekday.")
    ] = None,
    every: Every = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show the steps until the run has ended.")] = False,
    settings: SettingsFile = None,
) -> None:
    """Submit a pipeline. Exit codes: 0 done, 1 error, 2 wrong usage, 3 (with --wait) halted by the decision."""
    from kfp_hallmark import settings as known
    from kfp_hallmark import submission

    scheduled = cron is not None or every is not None
    if scheduled and wait:
        raise InputError("--wait must be without --cron and --every: a schedule has no end.")
    interval = None if every is None else _duration(every)
    loaded = known.load(settings)
    labels = dict(split("--label", text) for text in label or [])
    caching = False if no_cache else None
    console = Console(highlight=False)
    with submission.compiled(pipeline, platform, loaded) as path:
        parameters = gather(path, params, given)
        if scheduled:
            schedule = submission.schedule(
                path,
                parameters,
                platform=platform,
                cron=cron,
                every=interval,
                settings=loaded,
                name=run_name,
                experiment=experiment,
                labels=labels,
                caching=caching,
            )
            tell(console, schedule=schedule.name, id=schedule.schedule_id, when=schedule.when, link=schedule.link)
            return
        run = submission.submit(
            path,
            parameters,
            platform=platform,
            settings=loaded,
            run_name=run_name,
            experiment=experiment,
            labels=labels,
            caching=caching,
        )
    show_run(console, run)
    if wait:
        wait_for(platform, loaded, run.run_id, console)
    tell(console, wait=submission.runs_command(loaded, platform, "wait", run.run_id))


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"([1-9]\d{0,6})([smhd])", text)
    if not match:
        raise InputError(f"--every must be a time such as 90s, 30m, 6h or 1d; got {text!r}.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
