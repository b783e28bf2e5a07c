"""Who may come in: bearer tokens, from a file or signed (JWT), and what a token lets its owner do.

Source: RFC 6750, sections 2.1 and 3 (Authorization: Bearer, 401); RFC 7519 and RFC 7518, section 3.2 (HS256).
No token is kept, shown or logged: of a file's tokens only the hashes stay, and a refusal says why by a name.
"""

import hashlib
import hmac
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import jwt

from livestream.contract import BEARER_SUBPROTOCOL
from livestream.web.refusals import PolicyError

log = logging.getLogger(__name__)

#: Paths that need no token, by their beginnings: who asks for them has none.
OPEN_PREFIXES: Final[tuple[str, ...]] = ("/health/",)

TOKEN_FILE_OPTION: Final = "--auth-token-file"
KEY_FILE_OPTION: Final = "--jwt-key-file"
#: RFC 6750, section 2.1.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_AUTHORIZATION: Final = re.compile(rf"[Bb][Ee][Aa][Rr][Ee][Rr] +({_TOKEN.pattern})")
#: A token in a file has so many characters at least; one from `openssl rand -hex 16` has 32.
LEAST_TOKEN: Final = 16
#: RFC 7518, section 3.2: a key has at least as many bytes as the hash.
LEAST_KEY: Final = 32
MOST_FILE_BYTES: Final = 1024 * 1024
JWT_ALGORITHM: Final = "HS256"
CHANNELS_CLAIM: Final = "channels"


class Permit(NamedTuple):
    """What the owner of a token may do; `channels` None means all."""

    channels: frozenset[str] | None = None

    def may_subscribe(self, channel: str) -> bool:
        """Whether it may have this channel."""
        return self.channels is None or channel in self.channels


class Authority(Protocol):
    """Knows which tokens are good."""

    def permit(self, token: str) -> Permit | None:
        """What this token lets its owner do; None when it is no good."""

    def reload(self) -> None:
        """Reads its file again. PolicyError when that can't be, and then the old ones stay good."""


class TokenFile:
    """Tokens from a file, one a line; blank lines and those that begin with # don't count.

    Raises PolicyError, also from `reload`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._digests: tuple[bytes, ...] = ()
        self._load()

    def permit(self, token: str) -> Permit | None:
        """All channels for a token of the file. Takes as long for a wrong one as for a right one."""
        digest = _digest(token)
        # A list, so that it doesn't end at the first match.
        found = any([hmac.compare_digest(digest, known) for known in self._digests])
        return Permit() if found else None

    def reload(self) -> None:
        """Reads the file again."""
        _require_file(TOKEN_FILE_OPTION, self._path)
        self._load()

    def _load(self) -> None:
        tokens = []
        for number, line in enumerate(_read(TOKEN_FILE_OPTION, self._path).splitlines(), 1):
            token = line.strip()
            if not token or token.startswith("#"):
                continue
            if len(token) < LEAST_TOKEN or not _TOKEN.fullmatch(token):
                raise PolicyError(
                    f"{TOKEN_FILE_OPTION} {self._path}, line {number}: a token is at least {LEAST_TOKEN} "
                    "letters, digits or any of -._~+/, with = only at its end")
            tokens.append(token)
        if not tokens:
            raise PolicyError(f"{TOKEN_FILE_OPTION} {self._path} has no token: write one on a line")
        self._digests = tuple(map(_digest, tokens))


class JwtKey:
    """Signed tokens: HS256 by the key in a file, with `exp`, and `aud` when there is an audience.

    A token's claim `channels`, a list of names, says which it may subscribe
    to; without it all. Raises PolicyError, also from `reload`.
    """

    def __init__(self, path: str, audience: str = "") -> None:
        self._path = path
        self._audience = audience or None
        self._key = b""
        self._load()

    def permit(self, token: str) -> Permit | None:
        """The token's channels; None when its signature, time, audience or claim is wrong."""
        try:
            claims = jwt.decode(
                token, self._key, algorithms=[JWT_ALGORITHM], audience=self._audience,
                options={"require": ["exp"]})
            return Permit(_channels(claims))
        # What a stranger sends may be anything: nested too deep for the reader, a time without end.
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            log.debug("a token was refused: %s", type(error).__name__)
            return None

    def reload(self) -> None:
        """Reads the key again."""
        _require_file(KEY_FILE_OPTION, self._path)
        self._load()

    def _load(self) -> None:
        key = _read(KEY_FILE_OPTION, self._path).strip().encode()
        if len(key) < LEAST_KEY:
            raise PolicyError(
                f"{KEY_FILE_OPTION} {self._path}: the key has {len(key)} bytes, and {JWT_ALGORITHM} needs "
                f"{LEAST_KEY} or more")
        try:
            jwt.encode({}, key, JWT_ALGORITHM)
        except jwt.PyJWTError:
            raise PolicyError(
                f"{KEY_FILE_OPTION} {self._path} is a public key or a certificate; {JWT_ALGORITHM} needs a "
                "shared secret") from None
        self._key = key


def authority(token_file: str, key_file: str, audience: str) -> Authority | None:
    """Who knows the good tokens, by the options; None lets everybody in. Raises PolicyError."""
    if token_file and key_file:
        raise PolicyError(f"{TOKEN_FILE_OPTION} and {KEY_FILE_OPTION} exclude each other: leave one out")
    if audience and not key_file:
        raise PolicyError(f"--jwt-audience needs {KEY_FILE_OPTION}: the key that signs the tokens")
    if token_file:
        return TokenFile(token_file)
    return JwtKey(key_file, audience) if key_file else None


def bearer_token(header: Callable[[str], str | None], from_subprotocol: bool) -> str | None:
    """The token of a request, if it has one; `header` gives a header's value by its name.

    From `Authorization: Bearer TOKEN`; without that header, and only where
    `from_subprotocol`, from `Sec-WebSocket-Protocol: bearer, TOKEN`.
    """
    authorization = header("Authorization")
    if authorization is not None:
        match = _AUTHORIZATION.fullmatch(authorization.strip())
        return match and match[1]
    if not from_subprotocol:
        return None
    offered = [name.strip() for name in (header("Sec-WebSocket-Protocol") or "").split(",")]
    if len(offered) != 2 or offered[0] != BEARER_SUBPROTOCOL or not _TOKEN.fullmatch(offered[1]):
        return None
    return offered[1]


def _channels(claims: Mapping[str, object]) -> frozenset[str] | None:
    if CHANNELS_CLAIM not in claims:
        return None
    channels = claims[CHANNELS_CLAIM]
    if not isinstance(channels, list) or not all(isinstance(channel, str) for channel in channels):
        raise ValueError("the claim is no list of names")
    return frozenset(channels)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _require_file(option: str, path: str) -> None:
    """A pipe can be read at the start and never again: who tries may wait for ever."""
    if Path(path).exists() and not Path(path).is_file():
        raise PolicyError(f"{option} {path} is no regular file: it can be read only once")


def _read(option: str, path: str) -> str:
    """A small file of text. Raises PolicyError, without any of its text."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_FILE_BYTES + 1)
        text = data.decode()
    except UnicodeDecodeError:
        raise PolicyError(f"{option} {path} is no text in UTF-8") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PolicyError(f"{option} {path} can't be read: {reason}") from None
    if len(data) > MOST_FILE_BYTES:
        raise PolicyError(f"{option} {path} has more than {MOST_FILE_BYTES} bytes")
    return text
