"""Tokens: which are good, where they stand in a request, and that none of them shows."""

import base64
import json
import os
import time

import jwt
import pytest

from livestream.settings import Settings
from livestream.web.authentication import JwtKey, Permit, TokenFile, authority, bearer_token
from livestream.web.refusals import PolicyError

KEY = "k" * 31 + "!"
SECRET = "s3cret-token-of-the-test"
OTHER = "another.token~of+the_test/x=="


@pytest.fixture
def write(tmp_path):
    def write(text, name="file"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)
    return write


def signed(key=KEY, algorithm="HS256", headers=None, **claims):
    return jwt.encode({"exp": time.time() + 60, **claims}, key, algorithm, headers)


def part(value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


# Files of tokens.

def test_every_token_of_the_file_is_good_and_nothing_else(write):
    tokens = TokenFile(write(f"# of the portal\n\n{SECRET}\r\n  {OTHER}  \n#{'x' * 20}\n"))
    assert tokens.permit(SECRET) == tokens.permit(OTHER) == Permit(None)
    wrong = [SECRET[:-1], SECRET + "x", SECRET.upper(), "", "x" * 20, "#" + "x" * 20, "# of the portal"]
    assert [token for token in wrong if tokens.permit(token)] == []


def test_every_known_token_is_compared_whatever_matches(write, monkeypatch):
    compared = []
    tokens = TokenFile(write(f"{SECRET}\n{OTHER}\n"))
    monkeypatch.setattr("hmac.compare_digest", lambda one, two: compared.append(len(two)) or one == two)
    assert tokens.permit(SECRET) and not tokens.permit("wrong")
    assert compared == [32, 32, 32, 32]


def test_a_reload_takes_the_new_tokens_and_a_bad_file_changes_nothing(write):
    path = write(SECRET)
    tokens = TokenFile(path)
    write(OTHER)
    tokens.reload()
    assert tokens.permit(OTHER) and not tokens.permit(SECRET)
    write("short")
    with pytest.raises(PolicyError):
        tokens.reload()
    assert tokens.permit(OTHER)


@pytest.mark.parametrize(("text", "complaint"), {
    "": "has no token",
    "# only words\n\n": "has no token",
    f"{SECRET}\nhunter2": "line 2: a token is at least 16",
    "hunter2 hunter2 hunter2": "line 1: a token is",
    "hunter2hunter2hünter2": "line 1: a token is",
    "hunter2=hunter2=hunter2": "line 1: a token is",
    "hunter2hunter2\x01hunter2": "line 1: a token is",
    b"hunter2\xff\xfe": "is no text in UTF-8",
    "hunter2-" * 200_000: "has more than 1048576 bytes",
}.items())
def test_a_bad_file_of_tokens_is_one_line_without_a_token(write, text, complaint):
    with pytest.raises(PolicyError) as caught:
        TokenFile(write(text))
    line = str(caught.value)
    assert line.startswith("--auth-token-file ") and complaint in line
    assert "\n" not in line and "hunter2" not in line and SECRET not in line


@pytest.mark.parametrize("kind", [TokenFile, JwtKey])
def test_a_file_that_cannot_be_read_is_one_line(kind, tmp_path):
    unreadable = {tmp_path / "none": "No such file", tmp_path: "Is a directory", "a\0b": "null byte"}
    for path, reason in unreadable.items():
        with pytest.raises(PolicyError, match=f"^--[a-z-]+-file .* can't be read: [^\n]*{reason}"):
            kind(str(path))


# Signed tokens.

def test_a_signed_token_is_good_for_all_channels_or_for_those_it_names(write):
    key = JwtKey(write(KEY + "\n"))
    assert key.permit(signed()).may_subscribe("anything")
    permit = key.permit(signed(channels=["block_updates"]))
    assert permit.may_subscribe("block_updates") and not permit.may_subscribe("tps_updates")
    assert not key.permit(signed(channels=[])).may_subscribe("tps_updates")


def bad_tokens():
    good = signed()
    head, body, signature = good.split(".")
    deep = b"[" * 20_000
    huge = part({"alg": "HS256"}) + "." + part(b'{"exp":1e999}')
    return {
        "expired": signed(exp=time.time() - 1),
        "without exp": jwt.encode({"sub": "x"}, KEY, "HS256"),
        "exp as text": signed(exp="tomorrow"),
        "not yet": signed(nbf=time.time() + 60),
        "another key": signed(key="K" * 32),
        "unsigned": jwt.encode({"exp": time.time() + 60}, None, "none"),
        "unsigned with a signature": f"{part({'alg': 'none', 'typ': 'JWT'})}.{body}.{signature}",
        "unsigned in other letters": f"{part({'alg': 'NoNe'})}.{body}.",
        "another algorithm": signed(key=KEY * 2, algorithm="HS512"),
        "without a signature": f"{head}.{body}.",
        "other claims": f"{head}.{part({'exp': time.time() + 9999})}.{signature}",
        "for somebody": signed(aud="somebody"),
        "channels as text": signed(channels="tps_updates"),
        "channels as numbers": signed(channels=[1]),
        "no channels at all": signed(channels=None),
        "critical": signed(headers={"crit": ["b64"], "b64": False}),
        "deep header": f"{part(deep)}.{body}.{signature}",
        "endless": f"{huge}.{signature}",
        "no text": f"{part(bytes(range(128, 256)))}.{body}.{signature}",
        "not three parts": "abc", "dots": "..", "empty": "", "many dots": "." * 100, "no base64": "a.b.c",
    }


@pytest.mark.parametrize("name", bad_tokens())
def test_a_bad_signed_token_is_no_good(write, name):
    key = JwtKey(write(KEY))
    assert key.permit(signed())
    assert key.permit(bad_tokens()[name]) is None


def test_a_token_whose_end_is_infinite_is_no_good(write):
    head = part({"alg": "HS256", "typ": "JWT"})
    body = part(b'{"exp":1e999}')
    hs256 = jwt.get_algorithm_by_name("HS256")
    token = f"{head}.{body}.{part(hs256.sign(f'{head}.{body}'.encode(), KEY.encode()))}"
    assert JwtKey(write(KEY)).permit(token) is None


def test_the_audience_is_checked(write):
    key = JwtKey(write(KEY), "portal")
    assert key.permit(signed(aud="portal")) and key.permit(signed(aud=["x", "portal"]))
    wrong = ({}, {"aud": "Portal"}, {"aud": []}, {"aud": None})
    assert [key.permit(signed(**claims)) for claims in wrong] == [None] * 4


@pytest.mark.parametrize(("text", "complaint"), {
    "": "has 0 bytes, and HS256 needs 32 or more",
    "hunter2" * 4: "has 28 bytes",
    "hunter2" * 4 + " " * 9: "has 28 bytes",
    b"hunter2\xff" * 9: "is no text in UTF-8",
    "-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----": "is a public key or a certificate",
}.items())
def test_a_bad_key_is_one_line_without_the_key(write, text, complaint):
    with pytest.raises(PolicyError) as caught:
        JwtKey(write(text))
    line = str(caught.value)
    assert line.startswith("--jwt-key-file ") and complaint in line
    assert "\n" not in line and "hunter2" not in line


def test_a_reload_takes_the_new_key(write):
    key = JwtKey(write(KEY))
    write("K" * 40)
    key.reload()
    assert key.permit(signed(key="K" * 40)) and not key.permit(signed())


# Options, and what they show.

def test_options_that_make_no_sense_together(write):
    path = write(SECRET)
    with pytest.raises(PolicyError, match="^--auth-token-file and --jwt-key-file exclude each other"):
        authority(path, path, "")
    for token_file in ("", path):
        with pytest.raises(PolicyError, match="^--jwt-audience needs --jwt-key-file"):
            authority(token_file, "", "portal")
    assert authority("", "", "") is None


def test_nothing_shows_a_secret(write):
    tokens, key = TokenFile(write(SECRET)), JwtKey(write(KEY, "key"), "portal")
    settings = Settings(auth_token_file=write(SECRET))
    shown = repr([tokens, vars(tokens), key, settings, str(settings)])
    assert SECRET not in shown and KEY not in shown


# Requests.

def token_of(from_subprotocol=True, **headers):
    values = {name.replace("_", "-"): value for name, value in headers.items()}
    return bearer_token(values.get, from_subprotocol)


@pytest.mark.parametrize("value", [
    f"Bearer {SECRET}", f"bearer {SECRET}", f"BEARER   {SECRET}", f" Bearer {SECRET} ",
])
def test_a_token_in_the_authorization_header(value):
    assert token_of(Authorization=value) == SECRET
    assert token_of(False, Authorization=value) == SECRET


@pytest.mark.parametrize("value", [
    "", "Bearer", "Bearer ", SECRET, f"Basic {SECRET}", f"Bearer{SECRET}", f"Bearer {SECRET} x",
    f"Bearer {SECRET},Bearer {SECRET}", f"Bearer {SECRET}\r\nX: 1", f"Bearer\t{SECRET}", f'Bearer "{SECRET}"',
    f"Bearer {SECRET}\xe9", f"Bearer ={SECRET}",
])
def test_what_is_no_authorization_is_no_token_whatever_else_there_is(value):
    assert token_of(Authorization=value, Sec_WebSocket_Protocol=f"bearer, {SECRET}") is None


@pytest.mark.parametrize(("value", "token"), {
    f"bearer, {SECRET}": SECRET,
    f"bearer,{SECRET}": SECRET,
    "bearer": None,
    f"{SECRET}, bearer": None,
    f"bearer, {SECRET}, chat": None,
    f"Bearer, {SECRET}": None,
    f"chat, {SECRET}": None,
    f"bearer, {SECRET}\r\nX-Evil: 1": None,
    SECRET: None,
    "": None,
}.items())
def test_a_token_among_the_subprotocols(value, token):
    assert token_of(Sec_WebSocket_Protocol=value) == token
    assert token_of(False, Sec_WebSocket_Protocol=value) is None


def test_the_file_may_be_a_pipe(tmp_path):
    reader, writer = os.pipe()
    os.write(writer, SECRET.encode())
    os.close(writer)
    tokens = TokenFile(f"/dev/fd/{reader}")
    assert tokens.permit(SECRET)
    # To read it again might wait for ever.
    with pytest.raises(PolicyError, match="no regular file: it can be read only once$"):
        tokens.reload()
    assert tokens.permit(SECRET)
    os.close(reader)
