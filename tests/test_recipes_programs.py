"""Recipes over formats: exact prompts, targets, weights, slots and runners of pot, eot, kpdd-cot and kpdd-pot."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editctl import registry
from editctl.errors import UsageError
from editctl.formats import FormatFault, format_of
from editctl.options import describe, fill
from editctl.recipe import Stage
from editctl.records import Alignment, Chain, Example, Prompt
from editctl.tokens import Codec
from tests.support_models import byte_level, with_chat
from tests.support_recipes import FORMAT_NAMES, RIGHT, SECTIONS, P, formed, lacking, method_of, row, shown, skipped

KEY_POINTS = ("kpdd-cot", "kpdd-pot")
PROGRAM = SECTIONS["pot"]["program"]
EQUATIONS = SECTIONS["eot"]["equations"]
SOLUTIONS = {name: SECTIONS[name]["solution"] for name in KEY_POINTS}
CORE, INFORMATION = "What is the sum?", "17 is there,\n25 are added."
TO_CORE = f"{P}\nCore question:"
TO_INFO = f"{P}\nCore question: What is the sum?\nProblem-solving information:"
TO_SOLVE = (
    f"{P}\nCore question: What is the sum?\nProblem-solving information: 17 is there,\n25 are added.\nSolution:\n"
)
BOTH = "What is the sum?\nProblem-solving information: 17 is there,\n25 are added."
STEPS = {
    "3": [("core", TO_CORE, CORE), ("info", TO_INFO, INFORMATION), ("solve", TO_SOLVE, "")],
    "2": [("key", TO_CORE, BOTH), ("solve", TO_SOLVE, "")],
}
"""By option: slot, what it is asked with, what it writes (the solution is each recipe's)."""
ROWS: list[dict[str, Any]] = [{"stages": stages, "shared": shared} for stages in STEPS for shared in (False, True)]
TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
CODECS = {
    "gap": Codec(byte_level(), "plain"),
    "published": Codec(byte_level(), "plain", gap=False),
    "chat": Codec(with_chat(byte_level()), "chat"),
}


def example(user: str, target: str) -> Example:
    """An example in which everything counts the same; nothing is forced."""
    return Example(
        question_id="q1",
        prompt=Prompt(user=user),
        target=target,
        spans=((0, len(target), 1.0),),
        end_weight=1.0,
        share=1.0,
        side="right",
    )


def steps_of(name: str, stages: str) -> list[tuple[str, str, str]]:
    """Slot, prompt and target of each text."""
    return [(slot, user, target or SOLUTIONS[name]) for slot, user, target in STEPS[stages]]


def stages_of(name: str, **options: Any) -> Sequence[Stage]:
    """A recipe's stages."""
    method = method_of(name)
    found: Sequence[Stage] = method.stages(method.Options(**options))
    return found


def all_examples(name: str, alignment: Alignment, **options: Any) -> dict[str, list[Example]]:
    """What each slot is shown."""
    found: dict[str, list[Example]] = {}
    for stage in stages_of(name, **options):
        shows = shown(name, alignment, stage.name, **options)
        found.setdefault(stage.slot, []).extend(one for one in shows if isinstance(one, Example))
    return found


@pytest.mark.parametrize(
    ("name", "cue", "target"), [("pot", "\nProgram:\n", PROGRAM), ("eot", "\nEquations:\n", EQUATIONS)]
)
def test_a_text_that_is_run_follows_its_cue(name: str, cue: str, target: str) -> None:
    assert shown(name, formed(name)) == [example(P + cue, target)]
    assert shown(name, formed(name), cue=" Go:") == [example(f"{P} Go:", target)]
    runner = "python" if name == "pot" else "equations"
    for options, user in (({}, P + cue), ({"cue": " Go:"}, f"{P} Go:")):
        method = method_of(name)
        (step,) = method.plan(method.Options(**options))
        assert step.prompt(row().dual.question, ()) == Prompt(user=user)
        assert (step.slot, step.runner, step.opening, step.stop) == ("student", runner, "", ())


@pytest.mark.parametrize("stages", STEPS)
@pytest.mark.parametrize("name", KEY_POINTS)
def test_key_points_are_a_student_each(name: str, stages: str) -> None:
    expected = {slot: [example(user, target)] for slot, user, target in steps_of(name, stages)}
    assert all_examples(name, formed(name), stages=stages) == expected
    assert [(stage.name, stage.slot, stage.starts_from) for stage in stages_of(name, stages=stages)] == [
        (slot, slot, None) for slot in expected
    ]


@pytest.mark.parametrize("stages", STEPS)
@pytest.mark.parametrize("name", KEY_POINTS)
def test_one_shared_student_sees_the_same_rows(name: str, stages: str) -> None:
    rows = [example(user, target) for _, user, target in steps_of(name, stages)]
    assert all_examples(name, formed(name), stages=stages, shared=True) == {"student": rows}
    assert [stage.name for stage in stages_of(name, stages=stages, shared=True)] == ["imitate"]


@pytest.mark.parametrize("options", ROWS, ids=str)
@pytest.mark.parametrize("name", KEY_POINTS)
def test_key_points_are_asked_as_they_were_trained(name: str, options: dict[str, Any]) -> None:
    method = method_of(name)
    plan = method.plan(method.Options(**options))
    steps = steps_of(name, options["stages"])
    assert [step.slot for step in plan] == (
        ["student"] * len(steps) if options["shared"] else [slot for slot, _, _ in steps]
    )
    assert [step.runner for step in plan] == [None] * (len(steps) - 1) + ["python" if name == "kpdd-pot" else None]
    assert {(step.opening, step.stop) for step in plan} == {("", ())}
    for place, (step, (_, user, _)) in enumerate(zip(plan, steps, strict=True)):
        for around in ("{}", " {}", "\n{} \n"):  # a student writes the gap before its text, and may end in anything
            earlier = [around.format(target) for _, _, target in steps[:place]]
            assert step.prompt(row().dual.question, earlier) == Prompt(user=user)


@pytest.mark.parametrize("stages", STEPS)
@pytest.mark.parametrize("name", KEY_POINTS)
def test_the_last_prompt_and_its_target_are_the_chain_itself(name: str, stages: str) -> None:
    alignment = formed(name)
    assert alignment.dual.right is not None
    last = list(all_examples(name, alignment, stages=stages).values())[-1][-1]
    assert last.prompt.user + last.target == f"{P}\n{alignment.dual.right.text}"


@pytest.mark.parametrize("options", ROWS, ids=str)
@pytest.mark.parametrize("name", KEY_POINTS)
def test_earlier_texts_can_be_the_teachers(name: str, options: dict[str, Any]) -> None:
    method = method_of(name)
    plan = method.plan(method.Options(**options))
    question, chain = formed(name).dual.question, formed(name).dual.right
    cot = Chain(text=RIGHT, answer="42", origin="sampled")
    assert plan[-1].taught is None
    for step, (_, _, target) in zip(plan[:-1], steps_of(name, options["stages"])[:-1], strict=True):
        assert step.taught is not None
        assert step.taught(question, chain) == target
        assert step.taught(question, cot) is None


CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in FORMAT_NAMES),
    *((name, options) for name in KEY_POINTS for options in ROWS),
]


def walk(name: str, alignment: Alignment, options: dict[str, Any], codec: Codec) -> None:
    """Ask a student that writes what it was shown; each slot must have been shown exactly what it is asked with."""
    method = method_of(name)
    known = all_examples(name, alignment, **options)
    earlier: list[str] = []
    for step in method.plan(method.Options(**options)):
        ids = codec.prompt(step.prompt(alignment.dual.question, earlier))
        encoded = [codec.encode(one.prompt, one.target) for one in known[step.slot]]
        (target,) = (one.target for one in encoded if one.prompt == ids)
        earlier.append(codec.tokenizer.decode(target, skip_special_tokens=True))


@pytest.mark.parametrize("layout", CODECS)
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_asking_shows_the_slot_what_training_showed_it(name: str, options: dict[str, Any], layout: str) -> None:
    walk(name, formed(name), options, CODECS[layout])


def laid_out(layout: str, user: str, target: str) -> tuple[str, str]:
    """What is read and what is written, by hand: no gap after a new line, and none inside a template."""
    if layout == "chat":
        return TURN.format(user), target
    return user, (" " if layout == "gap" and not user.endswith("\n") else "") + target


@pytest.mark.parametrize("layout", CODECS)
@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_what_is_read_and_written_letter_for_letter(name: str, layout: str) -> None:
    codec = CODECS[layout]
    texts = {
        "pot": [(f"{P}\nProgram:\n", PROGRAM)],
        "eot": [(f"{P}\nEquations:\n", EQUATIONS)],
        **{key: [(user, target) for _, user, target in steps_of(key, "3")] for key in KEY_POINTS},
    }[name]
    found = []
    for one in (one for each in all_examples(name, formed(name)).values() for one in each):
        encoded = codec.encode(one.prompt, one.target)
        found.append((codec.tokenizer.decode(encoded.prompt), codec.tokenizer.decode(encoded.target)))
        assert codec.text(one.prompt) == found[-1][0]
    assert found == [laid_out(layout, user, target) for user, target in texts]


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t :*#"), max_size=40)


@settings(max_examples=80, deadline=None)
@given(WORDS, WORDS, WORDS, st.sampled_from(ROWS), st.sampled_from(sorted(CODECS)))
def test_any_key_points_come_back_as_they_were_trained(
    core: str, information: str, solution: str, options: dict[str, Any], layout: str
) -> None:
    sections = {"core": core.strip(), "information": information.strip(), "solution": f"{solution}\n{RIGHT}".strip()}
    try:
        chain = Chain(text=format_of("kpdd-cot").render(sections), answer="42", origin="sampled", sections=sections)
    except FormatFault:
        return
    walk("kpdd-cot", replace(row(), dual=replace(row().dual, right=chain)), options, CODECS[layout])


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_a_chain_without_sections_is_read_from_its_text(name: str) -> None:
    assert all_examples(name, formed(name, sections=None)) == all_examples(name, formed(name))


FAULTS = [
    ("pot", RIGHT, "not-python"),
    ("pot", " \n", "no-program"),
    ("eot", "It is 42.", "no-equations"),
    ("kpdd-cot", RIGHT, "no-core"),
    ("kpdd-cot", f"Core question: What?\nSolution:\n{RIGHT}", "no-information"),
    ("kpdd-cot", "Core question: What?\nProblem-solving information: That.", "no-solution"),
    ("kpdd-cot", "Core question: What?\nProblem-solving information: Much.\nCore question: Why?", "repeated-section"),
    ("kpdd-pot", f"Core question: What?\nProblem-solving information: That.\nSolution:\n{RIGHT}", "not-python"),
]


@pytest.mark.parametrize(("name", "text", "reason"), FAULTS)
def test_a_chain_that_is_not_in_the_format_is_skipped_with_the_reason(name: str, text: str, reason: str) -> None:
    for stage in stages_of(name):
        assert shown(name, formed(name, text=text, sections=None), stage.name) == skipped(reason)


@pytest.mark.parametrize("options", [{}, {"stages": "2"}, {"shared": True}], ids=str)
@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_what_no_format_is_about_is_skipped_in_every_stage(name: str, options: dict[str, Any]) -> None:
    options = options if name in KEY_POINTS else {}
    for stage in stages_of(name, **options):
        assert shown(name, lacking("right"), stage.name, **options) == skipped("no-right-chain")
        told = formed(name, origin="rectified")
        assert shown(name, told, stage.name, rectified=False, **options) == skipped("rectified")
        assert shown(name, told, stage.name, **options) == shown(name, formed(name), stage.name, **options)


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_wrong_chains_are_not_looked_at(name: str) -> None:
    whole = formed(name)
    wrong = replace(whole, dual=replace(whole.dual, wrong=Chain(text="no", answer="1", origin="corrupted")))
    assert all_examples(name, wrong) == all_examples(name, whole)


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_figures_of_the_stages_are_options(name: str) -> None:
    chosen = {"epochs": 2.0, "learning_rate": 0.5, "decay": 0.9, "normaliser": "tokens"}
    figures = [
        (stage.epochs, stage.learning_rate, stage.decay, stage.normaliser) for stage in stages_of(name, **chosen)
    ]
    assert set(figures) == {(2.0, 0.5, 0.9, "tokens")}
    assert {stage.normaliser for stage in stages_of(name)} == {"target"}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("kpdd-cot", {"stages": "4"}, "use one of 3, 2"),
        ("kpdd-pot", {"shared": "maybe"}, "use true or false"),
        ("kpdd-pot", {"cue": "x"}, "has no option 'cue'"),
        ("pot", {"stages": "2"}, "has no option 'stages'"),
        ("eot", {"epochs": "-1"}, "epochs must not be negative"),
        ("pot", {"normaliser": "mean"}, "use one of target, tokens, weighted, sum"),
    ],
)
def test_bad_options_are_refused_in_words(name: str, values: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fill(registry.load("recipes", name).Options, values, name)


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_every_option_explains_itself_and_takes_its_own_default(name: str) -> None:
    options = registry.load("recipes", name).Options
    assert all(one["help"] for one in describe(options))
    assert fill(options, {one["name"]: one["default"] for one in describe(options)}, name) == options()
    assert options(**dataclasses.asdict(options())) == options()


def test_presets_hold_what_is_known_and_no_more() -> None:
    cues = {
        "pot": "\nProgram: Let's design executable python program (return ans) to solve the question.",
        "eot": "\nSystem of linear equations: (Do not simplify)",
    }
    for name, cue in cues.items():
        method = method_of(name)
        assert set(method.presets) == {"card"}
        card = method.presets["card"]
        assert dict(card.options) == {"cue": cue}
        assert dict(card.settings) == {"max_length": 512, "prompt_style": "plain"}
        (one,) = all_examples(name, formed(name), **card.options)["student"]
        assert one.prompt == Prompt(user=P + cue)
    assert [name for name in KEY_POINTS if getattr(method_of(name), "presets", None)] == []


@pytest.mark.parametrize(
    ("name", "other", "reason"),
    [
        ("eot", "pot", "other-format"),
        ("pot", "eot", "other-format"),
        ("pot", "kpdd-pot", "other-format"),
        ("kpdd-pot", "pot", "other-format"),
        ("kpdd-cot", "kpdd-pot", "is-program"),
        ("kpdd-pot", "kpdd-cot", "not-python"),
    ],
)
def test_a_chain_of_another_format_is_no_chain_of_this_one(name: str, other: str, reason: str) -> None:
    method = method_of(name)
    for stage in method.stages(method.Options()):
        assert shown(name, formed(other), stage.name) == skipped(reason)
