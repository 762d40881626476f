"""What went wrong with MLflow, in one line for people: what it is, and what to do."""

import re

from mlflow.exceptions import MlflowException

from components.errors import ServiceError
from infra.tracking.address import Address

LONGEST = 300
CREDENTIALS = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
NOT_MLFLOW = "what answers there is not MLflow. MLFLOW_TRACKING_URI is to be the server's root"

BY_CODE = {
    "UNAUTHENTICATED": f"it refuses the credentials, or lacks them (401). {CREDENTIALS}",
    "CUSTOMER_UNAUTHORIZED": f"it refuses the credentials, or lacks them (401). {CREDENTIALS}",
    "PERMISSION_DENIED": "it refuses the user (403): {words}. Ask whoever runs it, or use other credentials",
    "ENDPOINT_NOT_FOUND": f"{NOT_MLFLOW} (404)",
}
"""By the code of MLflow's error."""

BY_WORDS = (
    (r"valid JSON format", NOT_MLFLOW),
    (r"timeout exception|ReadTimeout|ConnectTimeout", "it does not answer in time. Its server is overloaded or hangs"),
    (r"too many (\d+) error|error code (5\d\d)", "its server fails ({0}). Its own log says why"),
    (r"CERTIFICATE_VERIFY_FAILED|SSLError",
     "its certificate is not trusted. Set MLFLOW_TRACKING_SERVER_CERT_PATH to the authority's file"),
    (r"database (?:table )?is locked", "another program holds the database locked. End that program"),
    (r"readonly database|read-only",
     "the database cannot be written. Give this user the right to, or set MLFLOW_TRACKING_URI"),
    (r"unable to open database", "the database cannot be opened. Look at its folder and the rights there"),
    (r"database or disk is full|No space left", "its disk is full. Free some of it"),
    (r"malformed|not a database",
     "the database is damaged. Put a backup in its place, or move it away: then a new one is made"),
    (r"out-of-date database schema",
     "another version of MLflow wrote the database. Back it up and run `mlflow db upgrade` on it"),
    (r"ProxyError|Tunnel connection",
     "the proxy on the way to it refuses. Look at http_proxy and https_proxy, or add its host to no_proxy"),
    (r"Connection refused|NewConnectionError|NameResolution|ConnectionError|Connection aborted|connect(?:ion)? failed",
     "it is away. Start it, or set MLFLOW_TRACKING_URI to one that runs"),
)
"""By what the error says, since MLflow gives all of these one code: the first that fits."""


class HistoryRefused(ServiceError):
    """MLflow, or the database that is to hold its runs, cannot be used as it is; says why and what to do."""


def explain(error: BaseException, address: Address) -> str:
    """The fault in one line, with the address and without credentials."""
    said = address.scrub(" ".join(str(error).split()))
    return f"MLflow at {address.shown}: {reason(error, said)}."


def reason(error: BaseException, said: str) -> str:
    """What is wrong and what to do; the error's own words if they are all that is known."""
    if isinstance(error, HistoryRefused):
        return said.rstrip(".")
    code = error.error_code if isinstance(error, MlflowException) else ""
    words = said[:LONGEST].rstrip(".")
    if code in BY_CODE:
        return BY_CODE[code].format(words=words)
    for pattern, meaning in BY_WORDS:
        if found := re.search(pattern, said):
            return meaning.format(next((group for group in found.groups() if group), ""))
    return words if isinstance(error, MlflowException) else f"{type(error).__name__}: {words}"


def is_refusal(error: MlflowException) -> bool:
    """Whether MLflow refused a value that it was given: sending it again would not help."""
    return str(error.error_code) == "INVALID_PARAMETER_VALUE"


def is_missing(error: MlflowException) -> bool:
    """Whether MLflow itself says that a run does not exist; a stranger's 404 is another code."""
    return str(error.error_code) in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
