"""What Prometheus collects."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from kfp_hallmark.contracts.release import Release

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder in which several workers keep their numbers; prometheus-client reads it."""

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""

NO_VERSION = "none"
"""The version of an answer that was given before a release was loaded."""


class Metrics:
    """The numbers of this process, or of all workers when there are several."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "hallmark_requests",
            "Requests, by the version that served, the route and the status code.",
            ["version", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "hallmark_request_seconds",
            "Time from a request's headers to its answer, by version and route.",
            ["version", "route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._serving = Gauge(
            "hallmark_release_serving",
            "1 for the release that serves, 0 for those that served before it.",
            ["name", "version", "digest"],
            multiprocess_mode="max",
            registry=self._registry,
        )
        self._refused = Gauge(
            "hallmark_release_refused",
            "1 while the release document names a release that was refused, so that the former one serves.",
            multiprocess_mode="max",
            registry=self._registry,
        )
        self._refusals = Counter(
            "hallmark_release_refusals", "Releases that were found and refused.", registry=self._registry
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._versions: set[str] = set()
        self._dropped: set[str] = set()

    def observe(self, version: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        key = (version, route, status)
        found = self._children.get(key)
        if found is None:
            found = self._requests.labels(version, route, str(status)), self._seconds.labels(version, route)
            self._children[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def switched(self, former: Release | None, release: Release) -> None:
        """Note that a release serves, and drop the numbers of all but this and the former one."""
        if former is not None:
            self._serving.labels(former.name, former.version, former.model.digest).set(0)
        self._serving.labels(release.name, release.version, release.model.digest).set(1)
        self._refused.set(0)
        self._drop({release.version, former.version if former else NO_VERSION})

    def _drop(self, kept: set[str]) -> None:
        """Drop the numbers of all versions but some; a request that was under way may have left some behind again."""
        gone = (self._versions | {version for version, _, _ in self._children}) - kept - {NO_VERSION}
        self._versions, self._dropped = kept, (self._dropped | gone) - kept
        self._children = {key: child for key, child in self._children.items() if key[0] not in gone}
        if not _several():
            for version in gone:
                for metric in (self._requests, self._seconds, self._serving):
                    metric.remove_by_labels({"version": version})

    def refused(self) -> None:
        """Note that a release was refused."""
        self._refusals.inc()
        self._refused.set(1)

    def settled(self) -> None:
        """Note that the release document names what serves."""
        self._refused.set(0)

    def render(self) -> bytes:
        """Return all numbers in Prometheus' text format."""
        registry = self._registry
        if _several():
            registry = CollectorRegistry()
            registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """Give what all workers count; what one of them counted stays in its file, so it is left out here."""
        for metric in MultiProcessCollector(None).collect():
            metric.samples = [sample for sample in metric.samples if sample.labels.get("version") not in self._dropped]
            yield metric


def _several() -> bool:
    """Tell whether there are several workers."""
    return bool(os.environ.get(FOLDER_VARIABLE))
