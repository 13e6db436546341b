"""What the node's processes share."""

import gc
import weakref

from dicom_node.processes import spare_what_is_loaded


class _Knot:
    """Garbage that only the collector finds: it holds itself."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_loaded_is_spared_and_what_comes_later_is_collected() -> None:
    loaded: list[object] = [_Knot()]
    try:
        spare_what_is_loaded()
        assert gc.get_freeze_count() > 0
        assert not any(one is loaded for one in gc.get_objects()), "it is looked at no more"
        later = weakref.ref(_Knot())
        gc.collect()
        assert later() is None
    finally:
        gc.unfreeze()
