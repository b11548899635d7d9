#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""pyjwt_test.py AUTH_PEER: tokens that PyJWT signs are good here, tokens signed here are good for PyJWT."""
import json
import os
import subprocess
import sys
import tempfile

try:
    import jwt
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

PEER = sys.argv[1]
AUDIENCE = "pterergate"
NOW = 1700000000
LATER = 4000000000  # PyJWT looks at the clock by itself

KEYS = {  # kid: (alg, private key)
    "r2": ("RS256", rsa.generate_private_key(65537, 2048)),
    "r3": ("RS256", rsa.generate_private_key(3, 3072)),
    "e1": ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    "e2": ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
}

failures = 0


def expect(what, got, wanted):
    global failures
    if got != wanted:
        print(f"{what}: {got!r}, not {wanted!r}")
        failures += 1


def peer(*arguments, text=""):
    done = subprocess.run([PEER, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout.strip()


def public_pem(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def private_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


def jwk(kid, alg, key):
    algorithm = jwt.get_algorithm_by_name(alg) if hasattr(jwt, "get_algorithm_by_name") \
        else jwt.api_jws.PyJWS().get_algorithm_by_name(alg)
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "alg": alg, "use": "sig", "key_ops": ["verify"]}


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def theirs_here(keys, kid, alg, key):
    claims = {"sub": f"user of {kid} \u00e4", "aud": [AUDIENCE, "x"], "exp": NOW + 60, "iat": NOW, "roles": ["a", "b"]}
    token = jwt.encode(claims, key, algorithm=alg, headers={"kid": kid})
    expect(f"{kid}: PyJWT's token", peer("verify", keys, AUDIENCE, str(NOW), text=token), (0, f"{claims['sub']} a b"))
    expect(f"{kid}: too late", peer("verify", keys, AUDIENCE, str(NOW + 90), text=token), (1, ""))
    expect(f"{kid}: elsewhere", peer("verify", keys, "other", str(NOW), text=token), (1, ""))
    other = next(k for k in KEYS if k != kid and KEYS[k][0] == alg)
    token = jwt.encode(claims, KEYS[other][1], algorithm=alg, headers={"kid": kid})
    expect(f"{kid}: another's key", peer("verify", keys, AUDIENCE, str(NOW), text=token), (1, ""))
    token = jwt.encode(claims, "secret", algorithm="HS256", headers={"kid": kid})
    expect(f"{kid}: HS256", peer("verify", keys, AUDIENCE, str(NOW), text=token), (1, ""))
    token = jwt.encode(claims, None, algorithm="none", headers={"kid": kid})
    expect(f"{kid}: none", peer("verify", keys, AUDIENCE, str(NOW), text=token), (1, ""))


def ours_there(private, kid, alg, key):
    code, token = peer("sign", private, kid, "bob", AUDIENCE, str(LATER), "a", "b")
    expect(f"{kid}: signing", code, 0)
    claims = jwt.decode(token, key.public_key(), algorithms=[alg], audience=AUDIENCE)
    expect(f"{kid}: our claims", claims, {"sub": "bob", "aud": AUDIENCE, "exp": LATER, "roles": ["a", "b"]})
    expect(f"{kid}: our header", jwt.get_unverified_header(token), {"alg": alg, "kid": kid, "typ": "JWT"})


with tempfile.TemporaryDirectory() as scratch:
    jwks = write(scratch, "jwks", json.dumps({"keys": [jwk(kid, *of) for kid, of in KEYS.items()]}, indent=1))
    for name, (kind, private_key) in KEYS.items():
        theirs_here(jwks, name, kind, private_key)
        theirs_here(write(scratch, "public", public_pem(private_key)), name, kind, private_key)
        ours_there(write(scratch, "private", private_pem(private_key)), name, kind, private_key)

print(f"{len(KEYS)} keys, {failures} failures")
sys.exit(failures != 0)
