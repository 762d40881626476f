"""What Slurm says is a job, an error that ends the search, or "unknown": never a wrong state.

Small programs on PATH do here what a healthy Slurm will not: fail, hang, forget, print garbage.
"""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.errors import ServiceError
from infra.scheduler.errors import JobRefused, SchedulerUnreachable
from infra.scheduler.jobs import Job, Phase
from infra.slurm.commands import Slurm
from infra.slurm.jobs import State, read_minutes, read_sacct, read_scontrol
from infra.slurm.refusals import remedy

NUMBER = 4711
SCONTROL = (
    "JobId=4711 JobName={name} UserId=tarou(1000) GroupId=nlp(1000) MCS_label=N/A Priority=1 Nice=0 Account=(null) QOS=(null) "
    "JobState={state} Reason={reason} Dependency=(null) Requeue=1 Restarts={restarts} BatchFlag=1 Reboot=0 ExitCode={code} "
    "RunTime=00:00:02 TimeLimit=00:30:00 TimeMin=N/A SubmitTime=2026-03-29T01:30:00 EligibleTime=2026-03-29T01:30:00 "
    "AccrueTime=2026-03-29T01:30:00 StartTime={start} EndTime=2026-03-29T02:30:00 Deadline=N/A SuspendTime=None "
    "SecsPreSuspend=0 LastSchedEval=2026-03-29T01:30:00 Scheduler=Backfill Partition=gpu AllocNode:Sid=login:42 "
    "ReqNodeList=(null) ExcNodeList=node9 NodeList={nodes} BatchHost=node1 NumNodes=2 NumCPUs=4 NumTasks=4 CPUs/Task=1 "
    "ReqB:S:C:T=0:0:*:* {resources} Command=/a b/job.sbatch WorkDir=/a b Comment=run NodeList=x Power="
)
OLD, NEW = "TRES=cpu=4,node=2,billing=4 Socks/Node=*", "ReqTRES=cpu=4,mem=1G,node=2 AllocTRES=cpu=4,mem=1G,node=2 Socks/Node=*"
RUNNING = {
    "name": "martlet-train-0f", "state": "RUNNING", "reason": "None", "restarts": "0", "code": "0:0",
    "start": "2026-03-29T01:31:00", "nodes": "node[1-2]", "resources": OLD,
}
SACCT = "4711|{state}|None|{code}|2026-03-29T01:{minute}:00|2026-03-29T01:40:00|{end}|node[1-2]|martlet-train-0f\n"
UNREACHABLE = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
FORGOTTEN = "slurm_load_jobs error: Invalid job id specified"


def scontrol(**words: str) -> str:
    return SCONTROL.format(**(RUNNING | words))


def sacct(state: str, code: str = "0:0", minute: int = 30, end: str = "2026-03-29T01:50:00") -> str:
    return SACCT.format(state=state, code=code, minute=minute, end=end)


class Programs:
    """A folder that is all of PATH, with programs that print what they are told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, out: str = "", error: str = "", code: int = 0, before: str = "") -> None:
        path = self.folder / name
        path.with_suffix(".out").write_text(out, encoding="utf-8")
        path.with_suffix(".error").write_text(error, encoding="utf-8")
        lines = ["#!/bin/sh", before, f"/bin/cat '{path}.out'", f"/bin/cat '{path}.error' >&2", f"exit {code}", ""]
        path.write_text("\n".join(lines), encoding="utf-8")
        path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("SLURM_CONF", raising=False)
    return Programs(folder)


@pytest.mark.parametrize("resources", [OLD, NEW], ids=["22.05", "24.11"])
def test_a_line_of_scontrol_becomes_a_job_with_times_in_utc(resources: str) -> None:
    job = read_scontrol(scontrol(resources=resources, restarts="3") + "\n\n")
    assert job == Job(
        number=NUMBER, name="martlet-train-0f", phase=Phase.RUNNING, state=State.RUNNING, reason="None", nodes="node[1-2]",
        submitted=datetime(2026, 3, 29, 1, 30, tzinfo=UTC), start=datetime(2026, 3, 29, 1, 31, tzinfo=UTC), end=None,
        restarts=3, exit_code=(0, 0),
    )
    assert job.living
    assert not job.waiting


@pytest.mark.parametrize(("state", "living", "waiting"), [
    ("PENDING", True, True), ("REQUEUE_HOLD", True, True), ("SPECIAL_EXIT", True, True), ("CONFIGURING", True, False),
    ("COMPLETING", True, False), ("SUSPENDED", True, False), ("STAGE_OUT", True, False), ("COMPLETED", False, False),
    ("NODE_FAIL", False, False), ("OUT_OF_MEMORY", False, False), ("PREEMPTED", False, False), ("A_NEW_ONE", True, False),
])
def test_only_what_is_plainly_an_end_is_one(state: str, living: bool, waiting: bool) -> None:
    job = read_scontrol(scontrol(state=state))
    assert (job.living, job.waiting) == (living, waiting)
    assert job.state is (State.UNKNOWN if state == "A_NEW_ONE" else State(state))
    assert (job.end is None) == living


@pytest.mark.parametrize(("state", "phase"), [
    ("PENDING", Phase.WAITING), ("COMPLETING", Phase.ENDING), ("A_NEW_ONE", Phase.UNKNOWN), ("TIMEOUT", Phase.TIME_LIMIT),
    ("PREEMPTED", Phase.INTERRUPTED), ("NODE_FAIL", Phase.INTERRUPTED), ("CANCELLED", Phase.ENDED_FOR_GOOD),
    ("OUT_OF_MEMORY", Phase.ENDED_FOR_GOOD), ("FAILED", Phase.EXITED), ("SUSPENDED", Phase.RUNNING),
])
def test_slurms_states_are_phases_of_any_job_and_keep_their_name(state: str, phase: Phase) -> None:
    job = read_scontrol(scontrol(state=state))
    assert job.phase is phase
    assert job.state == ("UNKNOWN" if state == "A_NEW_ONE" else state)


@pytest.mark.parametrize(("reason", "lacks"), [("BadConstraints", True), ("Resources", False), ("None", False)])
def test_a_job_that_is_kept_from_too_many_nodes_is_told(reason: str, lacks: bool) -> None:
    assert read_scontrol(scontrol(state="PENDING", reason=reason)).lacks_nodes == lacks


def test_unknown_times_no_nodes_and_words_with_spaces_are_read(programs: Programs) -> None:
    name, reason = "my job JobState=FAILED", "launch failed requeued held"
    programs.add("scontrol", scontrol(state="PENDING", start="Unknown", nodes="", reason=reason, name=name))
    job = Slurm(None).job(NUMBER)
    assert job is not None
    assert (job.state, job.start, job.nodes, job.reason) == (State.PENDING, None, "", reason)
    assert job.name == name


@pytest.mark.parametrize("text", [
    "", "JobId=4711", scontrol(code="zero"), scontrol(start="tomorrow"), scontrol(restarts=""), scontrol()[20:],
    scontrol().replace("JobState=RUNNING ", ""),
])
def test_what_is_not_understood_is_an_error_that_quotes_it(programs: Programs, text: str) -> None:
    programs.add("scontrol", text)
    with pytest.raises(ServiceError, match="Slurm printed what Martlet does not understand: '"):
        Slurm(None).job(NUMBER)


def test_the_last_of_several_starts_counts_in_accounting_and_the_others_are_restarts() -> None:
    text = sacct("REQUEUED", minute=30) + sacct("CANCELLED by 1000", "0:15", minute=45) + sacct("PREEMPTED", minute=38)
    job = read_sacct(text)
    assert job is not None
    assert (job.state, job.exit_code, job.restarts) == (State.CANCELLED, (0, 15), 2)
    assert read_sacct("") is None
    with pytest.raises(ServiceError, match="sacct: Slurm printed"):
        read_sacct("4711|COMPLETED\n")


@pytest.mark.parametrize(("controller", "accounting", "found"), [
    (FORGOTTEN, sacct("FAILED", "1:0"), State.FAILED),
    (FORGOTTEN, sacct("NODE_FAIL"), State.NODE_FAIL),
    (FORGOTTEN, None, None),  # no accounting
    (FORGOTTEN, "", None),  # which never heard of it
    (FORGOTTEN, sacct("RUNNING", end="Unknown"), None),  # or missed its end
    (UNREACHABLE, sacct("COMPLETED"), State.COMPLETED),
    (UNREACHABLE, None, "unreachable"),
    (UNREACHABLE, "", "unreachable"),
    (UNREACHABLE, sacct("RUNNING", end="Unknown"), "unreachable"),
    (UNREACHABLE, sacct("NODE_FAIL"), "unreachable"),  # it may be back in the queue
    (UNREACHABLE, sacct("PREEMPTED"), "unreachable"),
])
def test_who_knows_an_end_tells_it_and_not_to_know_is_no_end(
    programs: Programs, controller: str, accounting: str | None, found: object
) -> None:
    programs.add("scontrol", error=controller, code=1)
    if accounting is None:
        programs.add("sacct", error="Slurm accounting storage is disabled", code=1)
    else:
        programs.add("sacct", accounting)
    if found == "unreachable":
        with pytest.raises(SchedulerUnreachable, match="Unable to contact slurm controller"):
            Slurm(None).job(NUMBER)
    else:
        job = Slurm(None).job(NUMBER)
        assert (job.state if job else None) == found


def test_a_hanging_command_is_given_up_and_means_unknown(programs: Programs) -> None:
    for name in ("scontrol", "sacct", "sbatch", "squeue"):
        programs.add(name, before="exec /bin/sleep 30")
    slurm, start = Slurm(None, seconds=0.1), time.monotonic()
    for ask in (lambda: slurm.job(NUMBER), lambda: slurm.submit(Path("job.sbatch"), "train"), lambda: slurm.named("x")):
        with pytest.raises(SchedulerUnreachable, match=r"gave no answer within 0\.1 s"):
            ask()
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("words", [
    "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
    "sbatch: error: Munge encode failed: Failed to access \"/run/munge/munge.socket.2\": No such file or directory",
])
def test_a_submission_without_an_answer_is_not_a_refusal(programs: Programs, words: str) -> None:
    programs.add("sbatch", error=words, code=1)
    with pytest.raises(SchedulerUnreachable, match="sbatch: "):
        Slurm(None).submit(Path("job.sbatch"), "train")


@pytest.mark.parametrize(("words", "step"), [
    ("Invalid account or account/partition combination specified", r"slurm\.account"),
    ("Invalid partition name specified", r"train\.partition to one that `sinfo`"),
    ("Requested time limit is invalid (missing or exceeds some limit)", r"walltime_minutes"),
    ("Memory specification can not be satisfied", r"memory_mib_per_node"),
    ("Requested node configuration is not available", r"gpus_per_node, tasks_per_node × cpus_per_task"),
    ("Invalid qos specification", r"train\.qos"),
    ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
     r"lower nodes or walltime_minutes"),
    ("Something that the next release says", r"Change what slurm\.stages"),
])
def test_a_refusal_has_slurms_words_and_names_the_key(programs: Programs, words: str, step: str) -> None:
    programs.add("sbatch", error=f"sbatch: error: Batch job submission failed: {words}", code=1)
    with pytest.raises(JobRefused) as caught:
        Slurm(None).submit(Path("job.sbatch"), "train")
    assert words in str(caught.value)
    assert caught.match(step)


@pytest.mark.parametrize(("reason", "stuck"), [
    ("PartitionTimeLimit", True), ("PartitionNodeLimit", True), ("QOSMaxGRESPerJob", True), ("InvalidAccount", True),
    ("BadConstraints", True), ("Resources", False), ("Priority", False), ("BeginTime", False), ("None", False),
    ("QOSMaxJobsPerUserLimit", False), ("ReqNodeNotAvail,_UnavailableNodes:node1", False),
])
def test_a_job_that_waits_for_ever_is_told_from_one_that_waits(reason: str, stuck: bool) -> None:
    job = read_scontrol(scontrol(state="PENDING", reason=reason))
    assert job.stuck == stuck
    assert not read_scontrol(scontrol(reason=reason)).stuck
    assert not stuck or "slurm." in remedy(reason, "train")


@pytest.mark.parametrize("out", ["4712\n", "4712;cluster\n", "a site's greeting\n4712\n"])
def test_the_number_is_found_whatever_a_site_prints_beside_it(programs: Programs, out: str) -> None:
    programs.add("sbatch", out)
    assert Slurm(None).submit(Path("job.sbatch"), "train") == 4712


def test_a_submission_without_a_number_says_where_to_look(programs: Programs) -> None:
    programs.add("sbatch", "thank you")
    with pytest.raises(ServiceError, match=r"printed no number: 'thank you'\. See `squeue --me`"):
        Slurm(None).submit(Path("job.sbatch"), "train")


def test_living_jobs_are_found_by_their_exact_name(programs: Programs) -> None:
    programs.add("squeue", f"{NUMBER}|RUNNING\n4709|COMPLETED\n")
    programs.add("scontrol", scontrol())
    assert [job.number for job in Slurm(None).named("martlet-train-0f")] == [NUMBER]
    assert Slurm(None).named("martlet-train-0") == []
    programs.add("scontrol", scontrol(state="FAILED"))  # it ended meanwhile
    assert Slurm(None).named("martlet-train-0f") == []
    programs.add("squeue", "JOBID|STATE\n")
    with pytest.raises(ServiceError, match=r"does not understand: 'JOBID\|STATE'"):
        Slurm(None).named("martlet-train-0f")
    programs.add("squeue", error=UNREACHABLE, code=1)
    with pytest.raises(SchedulerUnreachable):
        Slurm(None).named("martlet-train-0f")


def test_slurm_sees_no_secret_and_prints_its_times_in_utc(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configuration = tmp_path / "slurm.conf"
    configuration.touch()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("SQUEUE_FORMAT", "nonsense")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    for name, out in (("sbatch", "1"), ("scontrol", scontrol())):
        programs.add(name, out, before=f"/usr/bin/env > '{tmp_path}/{name}.seen'")
    slurm = Slurm(configuration)
    slurm.submit(Path("job.sbatch"), "train")
    slurm.job(NUMBER)
    for name, zone in (("sbatch", "Asia/Tokyo"), ("scontrol", "UTC")):  # sbatch's is passed on to the job
        lines = (tmp_path / f"{name}.seen").read_text(encoding="utf-8").splitlines()
        seen = dict(line.split("=", 1) for line in lines)
        shells_own = {"PWD", "OLDPWD", "SHLVL", "_"}
        assert seen.keys() - shells_own <= {"PATH", "HOME", "USER", "LANG", "SLURM_CONF", "TZ"} | {
            key for key in os.environ if key.startswith("LC_")
        }
        assert (seen["TZ"], seen["SLURM_CONF"]) == (zone, str(configuration))


def test_a_machine_without_slurm_or_its_configuration_is_told_so(programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="Slurm's sbatch is not on PATH") as missing:
        Slurm(None).submit(Path("job.sbatch"), "train")
    assert not isinstance(missing.value, JobRefused | SchedulerUnreachable)
    with pytest.raises(ServiceError, match=r"there is no Slurm configuration .*gone"):
        Slurm(tmp_path / "gone").job(NUMBER)
    programs.add("squeue", error="squeue: fatal: Could not establish a configuration source", code=1)
    with pytest.raises(ServiceError, match=r"does not find its cluster: .*Set SLURM_CONF") as lost:
        Slurm(None).named("x")
    assert not isinstance(lost.value, SchedulerUnreachable)


def test_a_job_is_kept_from_coming_back_before_it_is_cancelled(programs: Programs, tmp_path: Path) -> None:
    for name in ("scontrol", "scancel"):
        programs.add(name, before=f'echo "{name} $*" >> "{tmp_path}/calls"')
    Slurm(None).cancel(NUMBER, kill=True)
    assert (tmp_path / "calls").read_text(encoding="utf-8").splitlines() == [
        "scontrol update JobId=4711 Requeue=0", "scancel --quiet --signal=KILL 4711.0", "scancel --quiet 4711",
    ]
    programs.add("scancel", error="scancel: error: Kill job error on job id 4711: Invalid job id specified", code=1)
    Slurm(None).cancel(NUMBER)
    programs.add("scancel", error="scancel: error: Kill job error on job id 4711: Access/permission denied", code=1)
    with pytest.raises(ServiceError, match=r"could not end job 4711: .*permission denied"):
        Slurm(None).cancel(NUMBER)


@pytest.mark.parametrize(("limit", "minutes"), [
    ("1-00:00:00", 1440), ("2-03:04:05", 3064), ("2:00:00", 120), ("30:00", 30), ("infinite", None), ("n/a", None),
])
def test_a_partitions_limit_is_read_in_minutes(limit: str, minutes: int | None) -> None:
    assert read_minutes(limit) == minutes
