"""Owns the entry of `flink run -py`: the job of the settings and filters, submitted by Flink's own client.

Its client starts this file as a program; what the job is made of is the same as for `python -m flink_jobs submit`.
Must never import PyFlink, which `job` does, or watch over the job, which `keep` does.
"""

import sys

from flink_jobs.cluster.registry import admit
from flink_jobs.filters import load_filters
from flink_jobs.job import execute
from flink_jobs.plan import blueprint
from flink_jobs.settings import FlinkSettings
from flink_jobs.sql import filtered_topics, statements


def main() -> None:
    """Submit the job and print its id."""
    settings = FlinkSettings()
    filters = load_filters(settings.filters_file)
    if settings.registry is not None:
        admit(settings.registry, filtered_topics(filters, settings.topic_suffix))
    job_id = execute(blueprint(settings, statements(filters, settings.places)))
    sys.stdout.write(f"{settings.flink_job_name} is submitted as {job_id}\n")


if __name__ == "__main__":
    main()
