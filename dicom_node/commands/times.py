"""Times as the commands show them."""

from datetime import datetime


def shown_time(moment: datetime) -> str:
    """To the second, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
