"""What pages say while the worker cannot answer, and when they ask again."""

from __future__ import annotations

from app.errors import FeaturescopeError, Overloaded, WorkerUnavailable
from app.web.site import Site
from app.worker.client.supervisor import WorkerPhase

FIRST_WAIT, LONGEST_WAIT = 1, 16
MOST_ATTEMPTS = 1000


def not_yet(site: Site) -> str:
    """What to say while the worker that serving started cannot take work; empty when it can."""
    state = site.worker.state if site.worker else None
    if state is None or state.phase not in (WorkerPhase.STARTING, WorkerPhase.RESTARTING):
        return ""
    if state.restarts or state.phase is WorkerPhase.RESTARTING:
        return "The worker stopped and is being started again."
    return "The worker is starting."


def seconds_to_wait(error: FeaturescopeError, attempt: int) -> int:
    """Until asking again: 1, 2, 4, … `LONGEST_WAIT`; 0 where waiting does not help."""
    if isinstance(error, Overloaded):
        return max(1, min(LONGEST_WAIT, max(error.retry_after, FIRST_WAIT << min(attempt, 10))))
    if isinstance(error, WorkerUnavailable):
        return min(LONGEST_WAIT, FIRST_WAIT << min(attempt, 10))
    return 0
