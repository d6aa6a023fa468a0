"""Makes one question's dual chain: explain, then corrupt what was right or rectify what was wrong.

EDIT (arXiv 2405.19737) calls the three prompts CEP, CCP and AHP. A generator that says what to ask and is told the
answer: it knows no teacher, waits for nothing, opens and prints nothing.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from editctl.answers.verdicts import read_surface
from editctl.generate.clean import Checked
from editctl.generate.mining import most_alike
from editctl.generate.rounds import Asking, together
from editctl.generate.settings import Settings
from editctl.generate.shots import Shots
from editctl.generate.written import check, leaks_hint
from editctl.interfaces import CallFailed, Completion, Message, Rendering, Request
from editctl.prompts import MISTAKES, Templates
from editctl.records import Chain, DualChain, Origin, Question, Reject, Step, VerdictName
from editctl.student import with_options

NOT_RECORDED = "not-recorded"
NO_MINED_PAIR, NOT_ASKED = "no-mined-pair", "not-asked"
FINAL = ("truncated",)
"""Reasons that another try at the same limits would only pay for again."""
STEP_OF: dict[Origin, Step] = {
    "sampled": "explain",
    "mined": "explain",
    "corrupted": "corrupt",
    "rectified": "rectify",
}

Accept = Callable[[Checked], str | None]
Outcome = DualChain | Reject


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How a step ended, after all its attempts."""

    checked: Checked | None = None
    completion: Completion | None = None
    """The last one received."""
    reason: str | None = None
    """Why there is no accepted chain; None where there is one."""
    attempts: int = 0


@dataclass(slots=True)
class Maker:
    """Turns questions into dual chains or rejects."""

    teacher: str
    """The name written into every dual chain."""
    templates: Templates
    settings: Settings
    shots: Shots = field(default_factory=Shots)
    steps: Collection[Step] = get_args(Step)
    """What the teacher can be asked."""

    def make(self, number: int, question: Question) -> Asking[Outcome]:
        """The outcome of the `number`-th question (from 0)."""
        if read_surface(question.answer or "", question).answer is None:
            # Nothing a teacher could say to it would be right: not worth a call.
            return _reject(question, "explain", Tried(reason="no-gold"))
        numbers = range(self.settings.samples)
        samples = yield from together([self._try("explain", question, _accept_any, sample=one) for one in numbers])
        read = [one for one in samples if one.checked is not None and one.reason is None]
        right, wrong = _of_verdict("right", read), _of_verdict("wrong", read)
        if right and wrong and self.settings.mine:
            return self._mined(question, right, wrong)
        if right:
            return (yield from self._corrupt(number, question, right[0]))
        if wrong:
            return (yield from self._rectify(question, wrong[0]))
        return _reject(question, "explain", samples[0])

    def _mined(self, question: Question, right: Sequence[Checked], wrong: Sequence[Checked]) -> DualChain:
        """A pair that nothing more is paid for."""
        first, second = most_alike([one.text for one in right], [one.text for one in wrong])
        return self._dual(question, self._chain(right[first], "sampled"), self._chain(wrong[second], "mined"), None)

    def _corrupt(self, number: int, question: Question, right: Checked) -> Asking[DualChain]:
        if "corrupt" not in self.steps:
            return self._dual(question, self._chain(right, "sampled"), None, self._not_asked())
        mistake = self.settings.mistakes[number % len(self.settings.mistakes)]

        def accept(checked: Checked) -> str | None:
            if checked.text == right.text:
                return "same-text"
            return "same-answer" if checked.verdict.verdict == "right" else None

        tried = yield from self._try("corrupt", question, accept, mistake=mistake, chain=right.text)
        wrong = None
        if tried.checked is not None and tried.reason is None:
            wrong = self._chain(tried.checked, "corrupted", mistake)
        return self._dual(question, self._chain(right, "sampled"), wrong, tried.reason)

    def _rectify(self, question: Question, wrong: Checked) -> Asking[Outcome]:
        if "rectify" not in self.steps:
            return _reject(question, "explain", Tried(reason=self._not_asked()))

        def accept(checked: Checked) -> str | None:
            if checked.verdict.verdict != "right":
                return "other-answer"
            return "hint-leak" if leaks_hint(checked, question) else None

        tried = yield from self._try("rectify", question, accept)
        if tried.checked is None or tried.reason:
            return _reject(question, "rectify", tried)
        return self._dual(question, self._chain(tried.checked, "rectified"), self._chain(wrong, "sampled"), None)

    def _not_asked(self) -> str:
        """Why a question of a teacher that only explains ends without a pair."""
        return NO_MINED_PAIR if self.settings.mine else NOT_ASKED

    def _dual(self, question: Question, right: Chain, wrong: Chain | None, reason: str | None) -> DualChain:
        return DualChain(
            question=question,
            right=right,
            wrong=wrong,
            teacher=self.teacher,
            reason=None if wrong else reason,
        )

    def _try(
        self,
        step: Step,
        question: Question,
        accept: Accept,
        mistake: str | None = None,
        chain: str | None = None,
        sample: int = 0,
    ) -> Asking[Tried]:
        """Ask until the answer is accepted, at most `attempts` times."""
        last = Tried()
        messages = Rendering(lambda: self.render(step, question, mistake, chain))
        for attempt in range(1, self.settings.attempts + 1):
            request = self._request(step, question, messages, mistake, chain, attempt)
            (answer,) = yield (replace(request, sample=sample),)
            if isinstance(answer, CallFailed):
                return _failed(answer, last, attempt)
            checked = check(answer, question, self.settings)
            reason = checked.reason or accept(checked)
            last = Tried(checked=checked, completion=answer, reason=reason, attempts=attempt)
            if reason is None or reason in FINAL:
                break
        return last

    def render(
        self, step: Step, question: Question, mistake: str | None = None, chain: str | None = None
    ) -> tuple[tuple[Message, ...], int]:
        """The prompt of a step, and how many leading characters of its last turn all questions of the task share."""
        values = {
            **question_values(question),
            "conclusion": self.settings.conclusion,
            "format": self.settings.format,
            "mistake": mistake,
            "chain": chain,
            "shots": self.shots.choose(question, with_wrong=step == "corrupt"),
        }
        return with_system(*self.templates.render(_template(step, mistake), values), self.settings.system)

    def _request(
        self,
        step: Step,
        question: Question,
        messages: Rendering,
        mistake: str | None,
        chain: str | None,
        attempt: int,
    ) -> Request:
        return Request(
            question=question,
            step=step,
            messages=messages,
            template=_template(step, mistake),
            format=self.settings.format,
            mistake=mistake,
            chain=chain,
            attempt=attempt,
            temperature=self.settings.temperature_of(step, attempt),
            max_tokens=self.settings.max_tokens,
            seed=self.settings.seed,
        )

    def _chain(self, checked: Checked, origin: Origin, mistake: str | None = None) -> Chain:
        return Chain(
            text=checked.text,
            answer=checked.verdict.answer,
            origin=origin,
            mistake=mistake,
            template=_template(STEP_OF[origin], mistake),
            reasoning=checked.reasoning,
            sections=checked.sections,
        )


def question_values(question: Question) -> dict[str, object]:
    """What every template is told of a question."""
    return {
        "question": with_options(question),
        "description": question.description,
        "choices": list(question.choices or ()),
        "task": question.task,
        "answer": question.answer,
    }


def with_system(turns: tuple[Message, ...], fixed: int, system: str | None) -> tuple[tuple[Message, ...], int]:
    """A rendered prompt with the user's own system turn, where there is one, in place of the template's."""
    if system is None:
        return turns, fixed
    return (Message(role="system", content=system), *(turn for turn in turns if turn["role"] != "system")), fixed


def _accept_any(_: Checked) -> None:
    return None


def _of_verdict(verdict: VerdictName, read: Sequence[Tried]) -> list[Checked]:
    return [one.checked for one in read if one.checked is not None and one.checked.verdict.verdict == verdict]


def _failed(failure: CallFailed, last: Tried, attempt: int) -> Tried:
    """A recording that ran out ends the attempts with the reason of the last one that was there."""
    if failure.reason == NOT_RECORDED and last.reason:
        return last
    return Tried(completion=last.completion, reason=failure.reason, attempts=attempt)


def _template(step: Step, mistake: str | None) -> str:
    return f"{MISTAKES}/{mistake}" if step == "corrupt" else step


def _reject(question: Question, step: Step, tried: Tried) -> Reject:
    return Reject(
        question=question,
        step=step,
        reason=tried.reason or "unread",
        attempts=tried.attempts,
        completion=None if tried.completion is None else tried.completion.text,
    )
