"""A question as the student will see it, for the teacher's prompts."""

from dataclasses import replace

from editctl.records import Question
from editctl.student import question_prompt


def as_shown(question: Question) -> str:
    """The question text with its options, without the task description, exactly as in the student's prompt."""
    prompt = question_prompt(replace(question, description=None))
    return prompt.user.removeprefix("Q:").removesuffix("\n\nA:")
