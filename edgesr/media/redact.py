"""Keep passwords out of messages, logs and reprs."""

from __future__ import annotations

import re

HIDDEN = "***"

_URL = re.compile(r"([a-z][a-z0-9+.-]*://)([^\s\"'<>]+)", re.IGNORECASE)
_SECRET = re.compile(
    r"((?:user-pw|pass|passwd|password|pwd|passphrase|token|secret|auth|api_?key|key)\s*=\s*)(\"[^\"]*\"|[^&\s!#;,]+)",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Return ``text`` with the passwords of its URLs and of ``password=``-like parts replaced by ``***``."""
    return _SECRET.sub(rf"\1{HIDDEN}", _URL.sub(_without_password, text))


def _without_password(match: re.Match[str]) -> str:
    scheme, rest = match.groups()
    host, slash, path = rest.partition("/")
    login, at, place = host.rpartition("@")
    if not at and ":" in host and not host.rpartition(":")[2].isdigit() and "@" in path:
        # A password with an unescaped slash: everything up to the last @ may belong to it.
        login, at, place = rest.rpartition("@")
        slash = path = ""
    if not at:
        return match[0]
    user, colon, _ = login.partition(":")
    return f"{scheme}{user}{colon and ':' + HIDDEN}@{place}{slash}{path}"
