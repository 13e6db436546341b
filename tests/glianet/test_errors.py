from glianet.errors import GliaNetError, OutOfMemory, VolumeError


def test_an_error_says_where_what_and_what_to_do() -> None:
    error = VolumeError(what="it has no slices", where="a.nii", advice="look at it")
    assert str(error) == "a.nii: it has no slices. Look at it"
    assert (error.what, error.where, error.retry_helps, error.advice) == (
        "it has no slices",
        "a.nii",
        False,
        "look at it",
    )


def test_where_and_advice_may_be_missing() -> None:
    assert str(OutOfMemory(what="no room", retry_helps=True)) == "no room"
    assert isinstance(OutOfMemory(what="no room"), GliaNetError)
