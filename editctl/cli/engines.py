"""Who writes a student's texts, as `editctl eval`'s options say it: one engine for each slot of the decode plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editctl.errors import UsageError
from editctl.slots import SLOTS, found_in, is_single, place_of, slots_in

if TYPE_CHECKING:
    from editctl.evaluate.engine import Engine, Sampling
    from editctl.progress import Talk
    from editctl.recipe import DecodeStep
    from editctl.tokens import Codec


@dataclass(frozen=True, slots=True)
class _Wish:
    """Whose texts are wanted, and how."""

    talk: "Talk"
    values: dict[str, Any]
    run: dict[str, Any] | None
    student: str
    sampling: "Sampling"
    steps: int
    """How often a text is asked for in one conversation."""


def check_student(values: Mapping[str, Any], run: Mapping[str, Any] | None) -> None:
    """Look at the student's folder, or those of all its slots, before anything is read.

    Raises:
        UsageError: a folder without a model; one student of several where nothing says how it is asked alone.
    """
    from editctl.models import check_name

    name = values["student"]
    above = run_around(Path(name))
    if above is not None and values["recipe"] is None:
        raise UsageError(
            f"student {name}: is one of the students of {above}, which answer together: evaluate {above}; to ask this "
            "one alone, say how with --recipe"
        )
    if values["api_base"] is not None:
        return
    slots = slots_in(run)
    if is_single(slots) and not found_in(Path(name)):
        check_name(name)
        return
    # Which slots another recipe asks shows when its engines are made.
    for slot in slots if values["recipe"] in (None, (run or {}).get("recipe")) else ():
        place = place_of(Path(name), slot, slots)
        if not place.is_dir():
            raise UsageError(f"student {name}: its student for slot {slot} is missing: there is no {place}")
        check_name(str(place))


def run_around(folder: Path) -> Path | None:
    """The run of which a folder is one slot; None where it is something else."""
    from editctl.models import RUN_FILE

    above = folder.resolve().parent
    inside = above.name == SLOTS and (above.parent / RUN_FILE).is_file()
    return folder.parent.parent if inside else None


def make_engines(
    talk: "Talk", values: dict[str, Any], run: dict[str, Any] | None, plan: "Sequence[DecodeStep]"
) -> "dict[str, Engine]":
    """An engine for each slot.

    Raises:
        UsageError: a student that can't be found or loaded, options that don't go together, a plan that the engine
            can't follow.
    """
    from editctl.evaluate.engine import Sampling

    kind = _kind(values)
    sampling = Sampling(temperature=values["temperature"], top_p=values["top_p"])
    _check_sampling(values)
    slots = list(dict.fromkeys(step.slot for step in plan))
    _check_several(kind, slots)
    make = {"local": _local, "server": _server, "vllm": _vllm}[kind]
    engines: dict[str, Engine] = {}
    try:
        for slot in slots:
            steps = sum(step.slot == slot for step in plan)
            engines[slot] = make(_Wish(talk, values, run, _folder(values["student"], slot, slots), sampling, steps))
    except BaseException:
        for engine in engines.values():
            engine.close()
        raise
    return engines


def _check_several(kind: str, slots: Sequence[str]) -> None:
    many = f"this recipe asks {len(slots)} students ({', '.join(slots)})"
    if kind == "server" and len(slots) > 1:
        raise UsageError(f"--api-base: {many}; a server is one")
    if kind == "vllm" and len(slots) > 1:
        raise UsageError(f"--engine vllm: {many}, and vLLM takes the whole GPU for one; use --engine local")


def _kind(values: Mapping[str, Any]) -> str:
    wanted = values["engine"]
    if wanted not in ("auto", "local", "server", "vllm"):
        raise UsageError(f"--engine {wanted!r} is unknown; use auto, local, server or vllm")
    if wanted == "server" and not values["api_base"]:
        raise UsageError("--engine server needs --api-base, the server's address (http://localhost:8000/v1)")
    if values["api_base"] and wanted in ("local", "vllm"):
        raise UsageError(f"--api-base goes with --engine server, not with {wanted}")
    for name in () if values["api_base"] else ("api_model", "endpoint"):
        if values[name] not in (None, "auto"):
            raise UsageError(f"--{name.replace('_', '-')} goes with --api-base")
    return "server" if values["api_base"] else "local" if wanted == "auto" else str(wanted)


def _check_sampling(values: Mapping[str, Any]) -> None:
    if values["samples"] > 1 and not values["temperature"]:
        raise UsageError("--samples: greedy samples are all the same; set --temperature, such as 0.7")


def _folder(student: str, slot: str, slots: Sequence[str]) -> str:
    place = Path(student) / SLOTS / slot
    if place.is_dir():
        return str(place)
    if len(slots) > 1:
        raise UsageError(f"student {student}: this recipe asks several students, and there is no {place}")
    return student


def _codec(values: Mapping[str, Any], run: Mapping[str, Any] | None, tokenizer: Any, *, apart: bool) -> "Codec":
    from editctl.student import choose_style
    from editctl.tokens import Codec

    style = values["prompt_style"] or (run or {}).get("prompt_style") or "auto"
    chosen = choose_style(style, bool(tokenizer.chat_template), apart)
    return Codec(tokenizer, chosen, gap=bool((run or {}).get("gap", True)), encoder_decoder=apart)


def _local(wish: _Wish) -> "Engine":
    from editctl.evaluate.engines.local import LocalEngine
    from editctl.fingerprints import identity
    from editctl.models import load, pick_device

    values = wish.values
    loaded = load(
        wish.student,
        device=pick_device(values["device"]),
        dtype=values["dtype"],
        trust_remote_code=values["trust_remote_code"],
    )
    return LocalEngine(
        loaded,
        _codec(values, wish.run, loaded.tokenizer, apart=loaded.encoder_decoder),
        wish.sampling,
        batch_tokens=values["batch_tokens"],
        steps=wish.steps,
        identity=identity(wish.student, loaded.model),
    )


def _server(wish: _Wish) -> "Engine":
    from editctl.evaluate.engines.server import ServerEngine
    from editctl.evaluate.engines.wire import Patience
    from editctl.models import load_tokenizer, reads_apart

    values = wish.values
    here = Path(wish.student).is_dir()
    codec = _codec(values, wish.run, load_tokenizer(wish.student), apart=reads_apart(wish.student)) if here else None
    if codec is not None and codec.writing is not None and codec.writing.loses:
        raise UsageError(
            f"student {wish.student}: line breaks and other characters that its tokenizer loses are written by spare "
            "tokens, which servers leave out; ask it in this process, without --api-base"
        )
    return ServerEngine(
        values["api_model"] or (Path(wish.student).resolve().name if here else wish.student),
        api_base=values["api_base"],
        endpoint=_endpoint(values, codec),
        codec=codec,
        sampling=wish.sampling,
        concurrency=values["concurrency"],
        gap=bool((wish.run or {}).get("gap", True)),
        patience=Patience(timeout=values["timeout"]),
        say=wish.talk.warn,
    )


def _endpoint(values: Mapping[str, Any], codec: "Codec | None") -> Any:
    """Identical prompts wherever they can be had: text for plain ones, tokens where a chat template is known here."""
    wanted = values["endpoint"]
    known = ("auto", "completions", "tokens", "chat")
    if wanted not in known:
        raise UsageError(f"--endpoint {wanted!r} is unknown; use {', '.join(known)}")
    if wanted != "auto":
        return wanted
    if codec is not None:
        return "tokens" if codec.style == "chat" else "completions"
    return "completions" if values["prompt_style"] == "plain" else "chat"


def _vllm(wish: _Wish) -> "Engine":
    from editctl.evaluate.engines.vllm import VllmEngine
    from editctl.fingerprints import identity
    from editctl.models import load_tokenizer, reads_apart

    values = wish.values
    codec = _codec(values, wish.run, load_tokenizer(wish.student), apart=reads_apart(wish.student))
    return VllmEngine(
        wish.student,
        codec,
        wish.sampling,
        dtype=values["dtype"],
        trust_remote_code=values["trust_remote_code"],
        identity=identity(wish.student),
    )
