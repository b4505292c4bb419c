"""Owns the error that a person sees; every one names its remedy. No other module prints failures."""


class StackError(Exception):
    """Report a failure together with what to do about it.

    Args:
        problem: What happened, one sentence.
        remedy: What the reader should do, one sentence.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy
