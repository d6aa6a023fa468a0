"""A model on this machine as teacher: a folder, a hub id, or a student of `editctl train`, asked as it was trained."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from editctl import registry
from editctl.errors import UsageError
from editctl.formats import format_of
from editctl.interfaces import CallFailed, Completion, Price, Request
from editctl.models import RUN_FILE, TINY, check_name, run_facts
from editctl.options import fill, option
from editctl.records import Step
from editctl.slots import SLOTS, is_single, slots_in

if TYPE_CHECKING:
    from editctl.decoding.pool import Pool, Text
    from editctl.models import Student
    from editctl.recipe import DecodeStep
    from editctl.tokens import Codec


@dataclass(frozen=True)
class LocalOptions:
    """Options of the local teacher."""

    device: str = option("auto", "cpu, cuda, cuda:1, mps; auto takes the first GPU where there is one")
    dtype: str = option("auto", "float32, bfloat16 or float16; auto is bfloat16 on a GPU")
    batch_tokens: int = option(65_536, "most tokens written together, prompts included; lower it where memory is short")
    top_p: float = option(1.0, "nucleus sampling, where the temperature is above 0")
    prompt_style: Literal["auto", "plain", "chat"] = option("auto", "chat goes through the model's chat template")
    stop: str = option("Q:", "a line that begins so ends the text of a plain model; empty for none")
    trust_remote_code: bool = option(False, "run code that a hub model brings along")

    def __post_init__(self) -> None:
        if self.batch_tokens < 1:
            raise ValueError("batch-tokens must be at least 1")
        if not 0 < self.top_p <= 1:
            raise ValueError("top-p must be above 0 and at most 1")


class Local:
    """A model on this machine: MODEL is a folder, a hub id, or a run of `editctl train`, asked as it was trained."""

    offline = False
    price = Price(input=0.0, output=0.0)
    at_once = 256
    Options = LocalOptions

    def __init__(self, argument: str, options: LocalOptions) -> None:
        """`argument` is MODEL. Nothing is loaded before the first call.

        Raises:
            UsageError: a model that can't be found, or a run that can't be asked for chains.
            InputError: a run file that can't be read.
        """
        if not argument:
            raise UsageError("teacher local needs a model: -t local:FOLDER, or local:OWNER/NAME of the hub")
        if argument == TINY:
            raise UsageError("tiny has no weights before it is trained; name the folder of a run")
        self.options = options
        self.model = argument
        self.name = f"local:{Path(argument).resolve().name if Path(argument).is_dir() else argument}"
        self.run = run_facts(argument)
        self.plan = _plan_of(argument, self.run)
        check_name(argument)

    @property
    def steps(self) -> Collection[Step]:
        """A student knows the prompt it was trained on, and no other."""
        return ("explain",) if self.plan else get_args(Step)

    @cached_property
    def pool(self) -> "Pool":
        """Who writes."""
        from editctl.decoding.pool import Pool

        return Pool(self._load, self.options.batch_tokens, self.options.top_p)

    def _load(self) -> "tuple[Student, Codec]":
        from editctl.models import load, pick_device
        from editctl.student import choose_style
        from editctl.tokens import Codec

        options, run = self.options, self.run or {}
        student = load(
            self.model,
            device=pick_device(options.device),
            dtype=options.dtype,
            trust_remote_code=options.trust_remote_code,
        )
        apart = student.encoder_decoder
        wanted = options.prompt_style if options.prompt_style != "auto" else run.get("prompt_style") or "auto"
        style = choose_style(wanted, bool(student.tokenizer.chat_template), apart)
        return student, Codec(student.tokenizer, style, gap=bool(run.get("gap", True)), encoder_decoder=apart)

    async def complete(self, request: Request) -> Completion:
        """The model's text; of a student, what its last turn says.

        Raises:
            CallFailed: a prompt that is too long for the model.
            UsageError: a model that can't be loaded, too little memory.
        """
        if request.step not in self.steps:
            raise CallFailed("not-asked", f"a student of recipe {(self.run or {})['recipe']} knows one prompt only")
        if self.plan and format_of(request.format).runner is not None:
            raise UsageError(
                f"teacher {self.name}: a student of its recipe writes no chains in format {request.format}"
            )
        return await (self._follow(request) if self.plan else self._answer(request))

    async def _answer(self, request: Request) -> Completion:
        from editctl.turns import turn_ids

        text = await self._write(request, "", lambda codec: turn_ids(codec, request.messages))
        return _completion(text.done.text, [text])

    async def _follow(self, request: Request) -> Completion:
        """All steps of the recipe's plan; the chain is what the student's last turn says, given words included."""
        texts: list[Text] = []
        chain = ""
        for step in self.plan:
            prompt = step.prompt(request.question, [one.done.text for one in texts])
            texts.append(await self._write(request, step.name, lambda codec, prompt=prompt: codec.prompt(prompt)))
            chain = _behind(prompt.forced or step.opening, texts[-1].done.text)
        return _completion(chain, texts)

    async def _write(self, request: Request, step: str, read: Any) -> "Text":
        from editctl.decoding.pool import Wanted

        def seed(ids: Sequence[int]) -> int:
            # Not the question's id: questions of one wording share an answer in the ledger.
            told = f"{request.seed} {request.sample} {request.attempt} {step} {' '.join(map(str, ids))}"
            return int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "big") >> 1

        return await self.pool.write(
            Wanted(
                read=read, limit=request.max_tokens, seed=seed, temperature=request.temperature, stop=self._stop(step)
            )
        )

    def _stop(self, step: str) -> tuple[str, ...]:
        """A student's recipe says where its texts end; other models may go on with a question of their own."""
        if self.plan:
            return next(one.stop for one in self.plan if one.name == step)
        return (f"\n{self.options.stop}",) if self.options.stop else ()

    def identity(self, request: Request) -> Mapping[str, Any]:
        """The weights, how they are asked, and how tokens are drawn. Where they are computed makes no difference here:
        it changes the last bits alone."""
        options = self.options
        found: dict[str, Any] = {
            **self._weights,
            "dtype": options.dtype,
            "style": options.prompt_style,
            "top_p": options.top_p,
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "seed": request.seed,
        }
        if not self.plan:
            return {**found, "stop": options.stop}
        asked = self.plan[0].prompt(request.question, ())
        keys = ("recipe", "recipe_options", "prompt_style", "gap")
        return {**found, "run": {key: (self.run or {}).get(key) for key in keys}, "asked": [asked.user, asked.forced]}

    @cached_property
    def _weights(self) -> dict[str, Any]:
        from editctl.fingerprints import identity

        found = dict(identity(self.model))
        if Path(self.model).is_dir():
            del found["name"]  # a folder may be moved
        else:
            found["revision"] = _revision(self.model, self.options.trust_remote_code)
        return {"local": found}

    async def close(self) -> None:
        """Stop writing and let the model go."""
        if "pool" in self.__dict__:
            await self.pool.close()


def _plan_of(folder: str, run: Mapping[str, Any] | None) -> "tuple[DecodeStep, ...]":
    """How a trained student is asked; nothing where the model is none of ours."""
    above = Path(folder).resolve().parent
    if above.name == SLOTS and (above.parent / RUN_FILE).is_file():
        raise UsageError(f"teacher local:{folder}: is one of the students of a run, which answer together")
    if run is None:
        return ()
    recipe = registry.load("recipes", run["recipe"])()
    texts = {key: str(value) for key, value in (run.get("recipe_options") or {}).items()}
    plan = tuple(recipe.plan(fill(recipe.Options, texts, run["recipe"])))
    if not is_single([*slots_in(run), *(step.slot for step in plan)]):
        raise UsageError(f"teacher local:{folder}: recipe {run['recipe']} asks several students; a teacher is one")
    if plan[-1].runner is not None:
        raise UsageError(f"teacher local:{folder}: a student of recipe {run['recipe']} writes programs, not chains")
    return plan


def _behind(opening: str, text: str) -> str:
    """What a student wrote after given words, and these."""
    apart = not opening or opening[-1].isspace() or text[:1].isspace()
    return f"{opening}{'' if apart else ' '}{text}"


def _completion(chain: str, texts: "Sequence[Text]") -> Completion:
    return Completion(
        text=chain,
        finish_reason="length" if any(one.done.cut for one in texts) else "stop",
        prompt_tokens=sum(one.read for one in texts),
        completion_tokens=sum(len(one.done.ids) for one in texts),
    )


def _revision(name: str, trust_remote_code: bool) -> str | None:
    """The commit of a hub model. Raises UsageError where it is nowhere to be had."""
    from transformers import AutoConfig

    from editctl.whereabouts import hub_fault

    fault = hub_fault(name)
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code, local_files_only=bool(fault))
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = fault or " ".join(str(error).split())[:300]
        raise UsageError(f"teacher local:{name}: there is no such folder; looked for on the hub: {reason}") from error
    return getattr(config, "_commit_hash", None)
