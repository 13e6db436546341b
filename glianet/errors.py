"""Errors of the model's package: each says what, where, whether retrying helps, and what to do."""


class GliaNetError(Exception):
    """Base of every error that `glianet` raises on purpose.

    what: what is wrong, one sentence without a full stop; where: file, tensor, axis or device it was met at;
    retry_helps: whether the same call may succeed later; advice: what the person who runs it can do.
    """

    def __init__(self, *, what: str, where: str = "", retry_helps: bool = False, advice: str = "") -> None:
        self.what = what
        self.where = where
        self.retry_helps = retry_helps
        self.advice = advice
        super().__init__(str(self))

    def __str__(self) -> str:
        sentence = f"{self.where}: {self.what}" if self.where else self.what
        return f"{sentence}. {self.advice[:1].upper()}{self.advice[1:]}" if self.advice else sentence


class SettingsError(GliaNetError):
    """A setting of the analysis is out of its range."""


class VolumeError(GliaNetError):
    """An image volume is not what the model takes: shape, type, values or affine."""


class WeightsError(GliaNetError):
    """A weights file is absent, damaged, or holds another network."""


class FindingsError(GliaNetError):
    """A findings file is absent, damaged, or of an unknown version."""


class ReaderError(GliaNetError):
    """An input path cannot be read as a volume."""


class DeviceError(GliaNetError):
    """The computing device that was asked for does not exist here."""


class OutOfMemory(GliaNetError):  # noqa: N818 (the condition has this name everywhere)
    """There is not enough memory, even for one patch at a time."""


def no_room_for_a_patch(device: object) -> OutOfMemory:
    """The error of a device that cannot hold one patch."""
    return OutOfMemory(
        what="there is not enough memory for one patch",
        where=f"device {device}",
        retry_helps=True,
        advice="Free the device of other programs, or run on the CPU",
    )


def no_room(device: object) -> OutOfMemory:
    """The error of a computer or a device whose memory is used up."""
    return OutOfMemory(
        what="there is not enough memory for this volume",
        where=f"device {device}",
        retry_helps=True,
        advice="Free the memory that other programs hold, or give the computer more",
    )


class DeviceLost(GliaNetError):  # noqa: N818
    """The device failed, and goes on failing until the process is started again."""


class BackendError(GliaNetError):
    """A way to compute the network is not there, fails, or gives other probabilities than the network has."""
