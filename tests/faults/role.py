"""A process of the platform, as `python -m wapsi.cli.roles` starts it, that knows the jobs of these tests too.

    python -m tests.faults.role serve|worker|scheduler

FAULTS_LEASE_S shortens the lease of every job, and FAULTS_STALLED_AFTER_S the patience with a session that stands
still, so that a test with many dead workers takes minutes and not an hour.
"""

import os
from dataclasses import replace

import tests.faults.jobs  # noqa: F401  # registers them
from wapsi.cli import roles
from wapsi.cli.faults import run
from wapsi.queue import stalled
from wapsi.queue.registry import JOB_KINDS
from wapsi.roots import jobs

if __name__ == "__main__":
    jobs.import_all()
    if lease_s := int(os.environ.get("FAULTS_LEASE_S", "0")):
        for name, kind in list(JOB_KINDS.items()):
            JOB_KINDS[name] = replace(kind, lease_s=lease_s)
    if stalled_after_s := int(os.environ.get("FAULTS_STALLED_AFTER_S", "0")):
        stalled.STALLED_AFTER_S = stalled_after_s
    run(roles.app)
