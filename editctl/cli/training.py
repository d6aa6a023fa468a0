"""What `train` sets going: from its options to a planned run, and on to the trained students."""

import os
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editctl.cli.session import Session
from editctl.cli.training_talk import note_lost, note_tokenizer, print_plan, say_outcome, say_plan, show_on

if TYPE_CHECKING:
    from editctl.models import Student
    from editctl.progress import Talk
    from editctl.records import Alignment
    from editctl.tokens import Codec
    from editctl.train.plan import Planned, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training run with everything that is settled before it begins."""

    values: dict[str, Any]
    method: Any
    chosen: Any
    """The recipe's options."""
    alignments: list["Alignment"]
    device: str
    settings: "Settings"
    fresh: Callable[[], "Student"]
    """Makes the student anew."""
    student: "Student"
    codec: "Codec"
    weights: str
    """lora, full or scratch."""
    planned: list["Planned"]
    fingerprint: dict[str, Any]


def is_helper_process() -> bool:
    """True for all but the first of several processes: they say nothing and write no file of the run."""
    return os.environ.get("RANK", "0") != "0"


def run(session: Session, talk: "Talk", values: dict[str, Any], given: Set[str]) -> None:
    """The whole command; `given` are the options that the user set."""
    from editctl import registry
    from editctl.cli.training_end import hand_over
    from editctl.models import check_name
    from editctl.slots import check_stages
    from editctl.train.checkpoints import is_finished
    from editctl.train.handover.folder import check_place

    if not values["dry_run"] and not is_helper_process():
        check_place(Path(values["output"]), values["force"], values["resume"])
    method = registry.load("recipes", values["recipe"])()
    chosen = recipe_options(values, given, method)
    check_stages(values["recipe"], method.stages(chosen), method.plan(chosen))
    check_name(values["student"])
    _check(values)
    alignments = _read(session, values)
    talk.detail(f"{len(alignments)} alignments read; loading the student")
    job = _job(values, method, chosen, alignments)
    note_tokenizer(talk, values, alignments)
    note_lost(talk, job)
    if values["dry_run"]:
        _say_estimate(talk, job)
    elif values["resume"] and is_finished(Path(values["output"]), job.fingerprint):
        talk.say(f"{values['output']}: is finished; there is nothing to go on with")
        hand_over(talk, job)
    else:
        say_plan(talk, job.planned, job.weights, job.settings)
        _carry_out(session, talk, job)


def recipe_options(values: dict[str, Any], given: Set[str], method: Any) -> Any:
    """The recipe's options: its defaults, then the preset, then -R. Settings of the preset go into `values`.

    Raises:
        UsageError: a preset or an option that the recipe doesn't have.
    """
    from editctl import options
    from editctl.errors import UsageError, near_misses
    from editctl.recipe import Published

    texts = options.parse_pairs(values["recipe_option"] or (), "-R")
    for flag, ending in (("--learning-rate", "learning-rate"), ("--epochs", "epochs")):
        own = next((key for key in texts if options.flag_name(key).endswith(ending)), None)
        if own and ending.replace("-", "_") in given:
            raise UsageError(f"{flag} sets all stages in proportion, -R {own} one of them: use one or the other")
    presets = method.presets if isinstance(method, Published) else {}
    name = values["preset"]
    if name is not None and name not in presets:
        raise UsageError(f"recipe {values['recipe']} has no preset {name!r}; {near_misses(name, presets)}")
    if name is not None:
        values.update({key: value for key, value in presets[name].settings.items() if key in values.keys() - given})
        texts = {options.flag_name(key): str(value) for key, value in presets[name].options.items()} | {
            options.flag_name(key): value for key, value in texts.items()
        }
    return options.fill(method.Options, texts, values["recipe"])


def _check(values: dict[str, Any]) -> None:
    from editctl.errors import UsageError, near_misses

    for name, allowed in (
        ("schedule", ("epochs", "linear", "cosine", "constant")),
        ("packing", ("auto", "off")),
        ("prompt_style", ("auto", "plain", "chat")),
        ("dtype", ("auto", "float32", "bfloat16", "float16")),
    ):
        if values[name] not in allowed:
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} {values[name]!r} is unknown; {near_misses(values[name], allowed)}")
    if values["learning_rate"] is not None and values["learning_rate"] <= 0:
        raise UsageError("--learning-rate must be above 0")
    if values["early_stop"] and not values["dev_fraction"]:
        raise UsageError("--early-stop looks at questions held out; say how many with --dev-fraction")
    if values["four_bit"] and values["student"] == "tiny":
        raise UsageError("--four-bit loads a base in 4 bits, but tiny is made from scratch")
    if values["four_bit"] and values["full"]:
        raise UsageError("--four-bit and --full exclude each other: weights of 4 bits can't be trained, only adapters")
    if values["four_bit"] and values["merge"]:
        raise UsageError(
            "--merge: weights of 4 bits would round away what was trained; train without it, then merge the adapter "
            "onto the full-precision base (docs/serving.md shows how)"
        )
    if values["json"] and not values["dry_run"]:
        raise UsageError("--json goes with --dry-run")
    if values["resume"] and values["force"]:
        raise UsageError("--resume and --force exclude each other: one goes on with the run, the other replaces it")
    if values["public"] and not values["push_to_hub"]:
        raise UsageError("--public says how to upload; name the repository with --push-to-hub")
    if values["shard"] and os.environ.get("WORLD_SIZE", "1") == "1":
        raise UsageError(
            "--shard spreads weights over processes; start several: torchrun --nproc-per-node N -m editctl"
        )
    if values["push_to_hub"] and not values["dry_run"]:
        from editctl.train.handover.hub import check_push

        check_push(values["push_to_hub"])


def _read(session: Session, values: dict[str, Any]) -> list["Alignment"]:
    """The whole input, before anything begins: a pipe that breaks off must not train a student."""
    from itertools import islice

    from editctl.errors import UsageError
    from editctl.files import STDIO
    from editctl.jsonl import read_records
    from editctl.rows import alignment_from_row

    if values["aligned"] in (None, STDIO) and os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError("several processes can't share a pipe; write the alignments to a file and name it")
    records = read_records(session.open_input(values["aligned"]), alignment_from_row)
    alignments = list(islice(records, values["limit"]))
    session.finish_inputs()
    again = len(alignments) - len({alignment.dual.question.id for alignment in alignments})
    if again:
        session.talk.warn(f"{again} rows have an id that another row has; each counts as a question of its own")
    return alignments


def settings_of(values: dict[str, Any], device: str) -> "Settings":
    """The settings of a run from the command's options."""
    from editctl.train.adapters import Lora
    from editctl.train.plan import Settings, default_row_tokens

    targets = values["lora_targets"]
    own = {name: values[name] for name in Settings.__slots__ if name in values}
    lora = Lora(
        r=values["lora_r"],
        alpha=values["lora_alpha"],
        dropout=values["lora_dropout"],
        targets=tuple(part.strip() for part in targets.split(",")) if targets else None,
    )
    own["row_tokens"] = values["row_tokens"] or default_row_tokens(device)
    half = values["dtype"] == "bfloat16" or (values["dtype"] == "auto" and device.startswith("cuda"))
    return Settings(**own, lora=lora, bf16=half)


def student_of(
    values: dict[str, Any], device: str, method: Any, chosen: Any, alignments: list["Alignment"]
) -> "Student":
    """The student as it is before the first stage; of a dry run, its shape alone."""
    from editctl.models import TINY, load
    from editctl.train.plan import scratch_student

    if values["student"] == TINY:
        return scratch_student(method, chosen, alignments, values["seed"])
    # All weights are trained in float32 under autocast: bfloat16 steps would round small updates away.
    dtype = "float32" if values["full"] else values["dtype"]
    return load(
        values["student"],
        device=device,
        dtype=dtype,
        trust_remote_code=values["trust_remote_code"],
        four_bit=values["four_bit"],
        weights=not values["dry_run"],
    )


def _job(values: dict[str, Any], method: Any, chosen: Any, alignments: list["Alignment"]) -> Job:
    from dataclasses import asdict

    from editctl.errors import UsageError
    from editctl.models import pick_device, quietly
    from editctl.student import choose_style
    from editctl.tokens import Codec
    from editctl.train.checkpoints import OPTIONS
    from editctl.train.identity import check_identity
    from editctl.train.plan import fingerprint, plan, weight_mode
    from editctl.train.stage import check_names, check_room

    quietly()
    device = pick_device(values["device"])
    if ":" in values["device"]:
        raise UsageError(f"--device {device}: to train on one GPU of several, set CUDA_VISIBLE_DEVICES and use cuda")
    settings = settings_of(values, device)

    def fresh() -> "Student":
        return student_of(values, device, method, chosen, alignments)

    student = fresh()
    apart = student.encoder_decoder
    style = choose_style(values["prompt_style"], bool(student.tokenizer.chat_template), apart)
    codec = Codec(student.tokenizer, style, gap=values["gap"], encoder_decoder=apart)
    weights = weight_mode(student, settings)
    planned = plan(method, chosen, alignments, codec, settings, weights)
    check_identity(values["recipe"], method, chosen, alignments, codec)
    check_room(student, planned)
    check_names(settings)
    told = {name: values[name] for name in ("recipe", "dtype", "four_bit")} | {OPTIONS: asdict(chosen)}
    return Job(
        values=values,
        method=method,
        chosen=chosen,
        alignments=alignments,
        device=device,
        settings=settings,
        fresh=fresh,
        student=student,
        codec=codec,
        weights=weights,
        planned=planned,
        fingerprint=fingerprint(planned, settings, student, told),
    )


def _say_estimate(talk: "Talk", job: Job) -> None:
    """The memory of one student, the one with the most stages: no two are in memory together."""
    from editctl.train.memory import estimate
    from editctl.train.plan import by_slot
    from editctl.train.stage import prepare

    for place in range(1, max(map(len, by_slot(job.planned).values())) + 1):
        prepare(job.student, place, job.settings)
    memory = estimate(job.student, job.planned, job.settings)
    print_plan(job.values, job.planned, job.weights, job.settings, memory)


def _carry_out(session: Session, talk: "Talk", job: Job) -> None:
    """Train and write. The folder is ours until its last file stands."""
    from editctl.cli.training_end import check_room, hand_over, write
    from editctl.progress import Bar
    from editctl.train import stage as stages
    from editctl.train.checkpoints import RunState
    from editctl.train.handover.folder import check_place
    from editctl.train.stopping import stoppable
    from editctl.train.surroundings import Surroundings, part

    folder, first = Path(job.values["output"]), not is_helper_process()
    state = RunState(folder)
    if first:
        check_room(job)
    with state.locked(helper=not first):
        if first:
            check_place(folder, job.values["force"], job.values["resume"])  # again: nobody else may have come first
            said = state.begin(job.fingerprint, job.values["resume"])
            if said:
                talk.say(said)
        with stoppable(talk.say) as stop, Bar(talk, "train", sum(item.steps for item in job.planned)) as bar:
            show, skip = show_on(bar), bar.advance
            around = Surroundings(job.settings, job.device, state, job.fresh, show, talk.say, skip, stop)
            student, outcome = stages.train(job.student, job.planned, job.codec, around)
        part()
        if first:
            write(session, job, stages.students(student, job.planned, around), outcome)
    if first:
        say_outcome(talk, job.planned, outcome)
        hand_over(talk, job, student)
