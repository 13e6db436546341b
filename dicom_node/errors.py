"""The errors of dicom_node: each says what, where, whether retrying can help, and what to do."""

from dataclasses import dataclass


class NodeError(Exception):
    """Base of every error that dicom_node raises on purpose."""

    def __init__(self, what: str, *, where: str, retry_helps: bool = False, advice: str = "") -> None:
        self.what = what
        self.where = where
        self.retry_helps = retry_helps
        self.advice = advice
        super().__init__(str(self))

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" - {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class SettingProblem:
    """One thing wrong in the configuration file."""

    key: str
    given: str
    accepted: str

    def __str__(self) -> str:
        return f"{self.key}: {self.given} is not accepted; {self.accepted}"


class ConfigurationError(NodeError):
    """The configuration file cannot be used; `problems` lists everything wrong with it at once."""

    def __init__(self, file: str, problems: tuple[SettingProblem, ...]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{count} in the settings", where=file, advice="; ".join(map(str, problems)))
