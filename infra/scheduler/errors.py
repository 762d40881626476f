"""The errors of a batch scheduler: it refuses a job, it does not answer, or it is not installed."""

from components.errors import ServiceError


class JobRefused(ServiceError):
    """The scheduler does not take the job as it is; the message has its own words and the key of the site to change."""


class SchedulerUnreachable(ServiceError):
    """The scheduler did not answer: nothing is known, not even whether a submission arrived. Ask again later."""


class SchedulerMissing(ServiceError):
    """A program of the scheduler is not installed here."""
