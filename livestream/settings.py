"""Every setting of the server, once: its name, default, bounds and reason.

The command line's options and the `LIVESTREAM_*` variables are made from this
dataclass, and both end in it.
"""

import re
from dataclasses import Field, dataclass, field, fields
from typing import Any, NamedTuple

from livestream import contract
from livestream.stream.profiles import ORIGINAL, PROFILES, Profile
from livestream.stream.shared import BROADCASTERS

#: A Python name, maybe with dots.
_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")


class Option(NamedTuple):
    """What the command line needs to know of a setting.

    `least` and `most` are inclusive bounds; a text matches `pattern`, which `form` says in words. A default
    of False makes a flag, a tuple as default an option that may be repeated: each of its texts is checked.
    """

    help: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    form: str = ""


class SettingsError(ValueError):
    """A value is out of bounds, or can't be used; the message is one line that names the setting."""


def _option(default: Any, help: str, **bounds: Any) -> Any:
    return field(default=default, metadata={"option": Option(help, **bounds)})


@dataclass(frozen=True)
class Settings:
    """How a server runs. Raises SettingsError for a value out of bounds, or that doesn't go with another."""

    host: str = _option(contract.HOST, "Address to listen on; the default is every interface.")
    port: int = _option(contract.PORT, "TCP port; 0 takes a free one.", least=0, most=65_535)
    profile: Profile = _option(
        ORIGINAL,
        "Which faults of the original show: as written, as shipped (mute), or as its report promised.",
        choices=tuple(PROFILES),
    )
    time_scale: float = _option(
        1.0,
        "Multiplies every interval: 0.001 makes a second a millisecond.",
        least=0.000_1,
        most=1_000,
    )
    log_level: str = _option("info", "How much is logged, on standard error.", choices=LOG_LEVELS)
    max_connections: int = _option(
        contract.MAX_CONNECTIONS,
        "WebSocket connections at once; the next one is answered 503 before the handshake.",
        least=1,
        most=1_000_000,
    )
    max_threads_per_connection: int = _option(
        contract.MAX_THREADS_PER_CONNECTION,
        "Channel threads of one connection; a subscribe beyond is answered by an error. 0 lifts it.",
        least=0,
        most=1_000_000,
    )
    max_message_size: int = _option(
        contract.MAX_MESSAGE_BYTES,
        "Bytes of one message, all its fragments together; a longer one is closed with 1009.",
        least=1,
        most=2**31 - 1,
    )
    broadcaster: str = _option(
        "threads",
        "Who sends the updates, for experiments: a thread per channel per client as in the original, "
        "a pool of threads for all, or one ticker thread per channel.",
        choices=tuple(BROADCASTERS),
    )
    switch_interval: float = _option(
        0.0,
        "Seconds after which a thread that waits for Python's lock asks for it; 0 takes longer the more "
        "threads there are. Each waiting thread wakes that often: at Python's own 0.005 the waiting of "
        "thousands eats the processors.",
        least=0,
        most=10,
    )
    pin_cpu: str = _option(
        "auto",
        "Run on this processor alone; \"auto\" takes the one that the fewest processes are bound to, "
        "\"none\" runs on all. Python runs one thread at a time anyway, and handing over between "
        "threads is cheaper when they share a processor.",
        pattern=r"auto|none|\d{1,4}",
        form="auto, none or a processor's number",
    )
    allow_origin: tuple[str, ...] = _option(
        (),
        "Let only pages of this origin open the stream and read REST (CORS); may be repeated. A page of this "
        "server counts like any other. Without it every origin may open the stream and none may read REST. "
        "The original's list: https://dlt.aurigraph.io:9443, https://dev4.aurex.in, "
        "https://aurigraphdlt.dev4.aurex.in, http://localhost:5173, https://localhost:5173, "
        "http://localhost:3000, https://localhost:3000.",
    )
    auth_token_file: str = _option(
        "",
        "Let in only who has a token of this file: one a line, of 16 characters or more; # begins a comment. "
        "It comes as Authorization: Bearer TOKEN, or from a browser as the subprotocols bearer, TOKEN. "
        "SIGHUP reads the file again.",
    )
    jwt_key_file: str = _option(
        "",
        "Let in only who has a JSON Web Token signed (HS256) with the key in this file, of 32 bytes or more. "
        "It must have exp; a claim channels, a list of names, limits what it may subscribe to. "
        "SIGHUP reads the file again.",
    )
    jwt_audience: str = _option("", "A JSON Web Token must name this audience (aud).")
    limit_connections: str = _option(
        "",
        "How often one client address may open the stream, like 100/minute; more is answered 429. "
        "An IPv6 network of 64 bits counts as one address.",
    )
    limit_messages: str = _option(
        "",
        "How many messages one connection may send, like 20/second; more is answered by an error, "
        f"and after {contract.MAX_EXCESSES} in a row by Close 1008.",
    )
    trusted_proxy: tuple[str, ...] = _option(
        (),
        "Believe X-Forwarded-For from this address or network; may be repeated. Otherwise it is ignored.",
    )
    log_format: str = _option("text", "How a line of the log is written.", choices=LOG_FORMATS)
    metrics: bool = _option(False, "Serve the metrics for Prometheus at /metrics.")
    health: bool = _option(False, "Answer probes at /health/live and /health/ready.")
    source: str = _option(
        "",
        "Where the figures come from, as module:factory: the factory is called without arguments and returns "
        "an object with the methods tps_update, block_update, network_update and validator_update; each "
        "returns a dict. Python looks for the module, so its folder belongs in PYTHONPATH. Not with "
        "--broadcaster pool, whose threads a source that stalls would all hold. The default simulates.",
        pattern=rf"|{_NAME}:{_NAME}",
        form="module:factory",
    )
    extensions: bool = _option(
        False,
        "Offer what the report only wished for, and say so in the welcome: validators, interval_ms and "
        "since in a subscribe. Not with --profile shipped, which never sends.",
    )
    tls_cert: str = _option(
        "", "Speak TLS (wss://, https://) with the certificate chain in this PEM file, and with --tls-key.")
    tls_key: str = _option("", "The private key of --tls-cert, without a passphrase, in PEM.")
    send_timeout: float = _option(
        0.0,
        "Seconds for which a client may take nothing of what is sent to it before it is closed; they begin "
        "once the system's buffers are full. 0 waits for ever, as the original does.",
        least=0,
        most=86_400,
    )
    compression: bool = _option(
        False, "Compress messages (permessage-deflate) for clients that offer it; the original never does.")

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            _check(name, getattr(self, name), option)
        if self.source and self.broadcaster == "pool":
            raise SettingsError("source doesn't go with broadcaster pool; choose threads or ticker")
        if self.extensions and self.profile.refuses_blocking_sends:
            raise SettingsError(f"extensions don't go with profile {self.profile.name}, which never sends")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise SettingsError("tls_cert and tls_key belong together: give both or neither")


def settings_from(values: dict[str, Any]) -> Settings:
    """Settings from a value for each setting by name, the profile by its own name. Raises SettingsError.

    KeyError without a profile, TypeError for a name that is no setting.
    """
    name = values["profile"]
    if name not in PROFILES:
        raise SettingsError(f"profile is {name!r}; it must be one of {', '.join(PROFILES)}")
    return Settings(**values | {"profile": PROFILES[name]})


def _option_fields() -> tuple["Field[Any]", ...]:
    return tuple(entry for entry in fields(Settings) if "option" in entry.metadata)


def _check(name: str, value: Any, option: Option) -> None:
    if isinstance(value, tuple):
        for one in value:
            _check(name, one, option)
        return
    if option.least is not None and not value >= option.least:  # NaN too
        raise SettingsError(f"{name} is {value}; it must be {option.least} or more")
    if option.most is not None and not value <= option.most:
        raise SettingsError(f"{name} is {value}; it must be {option.most} or less")
    if option.choices and getattr(value, "name", value) not in option.choices:
        raise SettingsError(f"{name} is {value!r}; it must be one of {', '.join(option.choices)}")
    if option.pattern and not re.fullmatch(option.pattern, value, re.ASCII):
        raise SettingsError(f"{name} is {value!r}; it must be {option.form}")


#: Every setting by name, with what the command line needs to know of it.
OPTIONS: dict[str, Option] = {entry.name: entry.metadata["option"] for entry in _option_fields()}
#: The default of every setting by name; the profile's is a Profile.
DEFAULTS: dict[str, Any] = {entry.name: entry.default for entry in _option_fields()}
# For pydoc: what the command line's help says stands once.
Settings.__doc__ = "\n".join((
    f"{Settings.__doc__}\n", *(f"- `{name}`: {option.help}" for name, option in OPTIONS.items())))
