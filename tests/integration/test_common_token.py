"""Tokens against PyJWT: what one signs the other accepts; what PyJWT refuses, so do we."""

import base64
import json
import random
import subprocess

import jwt
import pytest
from harness.process import BUILD

KEY = b"an example key of 32 bytes, ok.."
NOW = 1_700_000_000
LATER = 4_102_444_800  # PyJWT takes the time from the system's clock
ACCOUNTS = ["ada", "p1", "a b", 'quo"te', "back\\slash", "é€😀", "x" * 127, "1", "\u2028"]


@pytest.fixture
def tool(variant):
    """Run the unit test's tool with these arguments, these lines on stdin; the lines it says."""
    build = BUILD if variant == "release" else BUILD / variant

    def run(*args, lines=()):
        command = [build / "unit/common/test_token", *map(str, args)]
        text = "".join(line + "\n" for line in lines)
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().removesuffix("\n").split("\n")

    return run


@pytest.fixture
def verify(tool):
    return lambda tokens, key=KEY, now=NOW: tool("verify", key.hex(), now, lines=tokens)


def pyjwt_accepts(token):
    try:
        jwt.decode(token, KEY, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError:
        return False
    return True


def test_ours_by_pyjwt(tool):
    for sub in ACCOUNTS:
        [token] = tool("sign", KEY.hex(), sub, "courier", LATER)
        assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
        claims = jwt.decode(token, KEY, algorithms=["HS256"])
        assert claims == {"sub": sub, "role": "courier", "exp": LATER}
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(token, KEY[::-1], algorithms=["HS256"])
    [token] = tool("sign", KEY.hex(), "ada", "", LATER)
    assert jwt.decode(token, KEY, algorithms=["HS256"]) == {"sub": "ada", "exp": LATER}


def test_pyjwt_by_ours(verify):
    tokens = [jwt.encode({"sub": s, "role": "r", "exp": LATER}, KEY) for s in ACCOUNTS]
    assert verify(tokens) == [f"ok {s}|r|{LATER}" for s in ACCOUNTS]
    assert verify(tokens, key=KEY[::-1]) == ["no"] * len(ACCOUNTS)
    assert verify(tokens, now=LATER) == ["no"] * len(ACCOUNTS)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_refused(verify):
    claims = {"sub": "ada", "exp": LATER}
    good = jwt.encode(claims, KEY)
    bad = [
        jwt.encode(claims, None, algorithm="none"),
        jwt.encode(claims, KEY * 2),
        jwt.encode(claims, KEY, algorithm="HS384"),
        jwt.encode(claims, KEY, algorithm="HS512"),
        jwt.encode(claims, KEY, headers={"crit": ["exp"]}),
        jwt.encode({"sub": "ada"}, KEY),
        jwt.encode({"exp": LATER}, KEY),
        jwt.encode(claims | {"nbf": NOW + 1}, KEY),
        jwt.encode(claims | {"aud": "somebody"}, KEY),
        jwt.encode(claims | {"exp": LATER + 0.5}, KEY),
        jwt.encode(claims | {"exp": 2**63}, KEY),
        jwt.encode(claims | {"role": ["admin"]}, KEY),
    ]
    assert verify([good, *bad, good]) == (
        [f"ok ada||{LATER}"] + ["no"] * len(bad) + [f"ok ada||{LATER}"]
    )


def mutations(token, rng):
    """Damaged copies: a character changed, dropped or doubled, two exchanged, parts swapped."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=.+/"
    parts = token.split(".")
    yield ".".join(parts[::-1])
    for _ in range(300):
        i, j = sorted(rng.sample(range(len(token)), 2))
        yield token[:i] + rng.choice(alphabet) + token[i + 1 :]
        yield token[:i] + token[i + 1 :]
        yield token[:i] + token[i] + token[i:]
        yield token[:i] + token[j] + token[i + 1 : j] + token[i] + token[j + 1 :]


def test_damaged(verify):
    """Nothing that PyJWT refuses is accepted, and nothing damaged but what is still the same."""
    rng = random.Random(7)
    token = jwt.encode({"sub": "ada", "exp": LATER}, KEY)
    damaged = [token, *mutations(token, rng)]
    answers = verify(damaged)
    assert len(answers) == len(damaged)
    for text, answer in zip(damaged, answers, strict=True):
        assert answer.startswith("ok") == (text == token)
        assert pyjwt_accepts(text) or answer == "no"
    assert pyjwt_accepts(token)


def test_random_bodies(verify):
    """Right signatures over claims of random types: accepted by us means accepted by PyJWT."""
    rng = random.Random(11)
    values = [LATER, NOW, -1, 0, 1.5, "ada", "", None, True, [], {}, 2**63, "9" * 20]
    tokens = []
    for _ in range(400):
        claims = {
            name: rng.choice(values) if rng.random() < 0.4 else usual
            for name, usual in {"sub": "ada", "exp": LATER, "role": "r", "nbf": 0}.items()
            if rng.random() < 0.9
        }
        body = json.dumps(claims).encode()
        tokens.append(jwt.api_jws.encode(body, KEY))
    answers = verify(tokens)
    accepted = [t for t, answer in zip(tokens, answers, strict=True) if answer != "no"]
    assert 20 < len(accepted) < 380
    for token in accepted:
        body = base64.urlsafe_b64decode(token.split(".")[1] + "===")
        assert pyjwt_accepts(token), body
