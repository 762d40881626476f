"""Every error a user can meet, in one tree.

MartletError
├── ParameterError      a parameter file or an override is wrong
├── InputError          an input of a stage is missing, empty or not what it claims to be
│   ├── SourceMissing       a collected source cannot be had
│   ├── EmptyCorpus         nothing is left to work on
│   ├── TokenizerMismatch   a tokenizer and a model (or tokens) do not belong together
│   └── CheckpointRefused   a checkpoint of other parameters or data
├── ServiceError        an outside service (apt, pip, git, DVC, the Hub, S3) refused
├── WorkerFailed        a worker process ended badly; carries the last lines of its log
└── ResourceError       the machine ran out of something (disk, memory)
"""

from collections.abc import Iterator


class MartletError(Exception):
    """What went wrong, where, what was expected, and the next step: in one message, without a traceback."""


class ParameterError(MartletError):
    """A parameter file or an override does not describe a run; names the file and the key."""


class InputError(MartletError):
    """An input of a stage is missing, empty or not what it claims to be; names the path."""


class SourceMissing(InputError):
    """A source of `collect` cannot be had; names the source and how to get it."""


class EmptyCorpus(InputError):
    """Nothing is left to work on; names the folder and what was filtered away."""


class TokenizerMismatch(InputError):
    """A tokenizer and a model (or packed tokens) do not belong together; states both sizes."""


class CheckpointRefused(InputError):
    """A checkpoint was written by other parameters or other data."""


class ServiceError(MartletError):
    """An outside program or service refused; carries its own words."""


class WorkerFailed(MartletError):
    """A worker process ended badly; carries the last lines of its log."""


class ResourceError(MartletError):
    """The machine ran out of something; names what, how much, and where."""


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
