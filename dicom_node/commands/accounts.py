"""Who called a command, for the audit log."""

import os
import pwd


def calling_account() -> str:
    """The account, as the kernel knows it, and who took it by sudo, as sudo says."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a container's account without a name
        name = str(number)
    taken_by = os.environ.get("SUDO_USER")
    return f"user:{name} (sudo by {taken_by})" if taken_by else f"user:{name}"
