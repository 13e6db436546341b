"""The audit log, told to an audit record repository (IHE ATNA): PS3.15 A.5 messages in syslog over TLS."""
