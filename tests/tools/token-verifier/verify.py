"""Prints what joserfc makes of tokens, for the tests: `verify.py ISSUER KEYS TOKEN..`, with the published keys as JSON."""

import json
import sys

from joserfc import jwt
from joserfc.jwk import KeySet

keys = KeySet.import_key_set(json.loads(sys.argv[2]))


def judge(token):
    try:
        decoded = jwt.decode(token, keys, algorithms=["EdDSA", "Ed25519"])
        demanded = jwt.JWTClaimsRegistry(leeway=5, iss={"essential": True, "value": sys.argv[1]},
            aud={"essential": True, "value": "quipu-api"}, exp={"essential": True}, sub={"essential": True})
        demanded.validate(decoded.claims)
        return {"header": decoded.header, "claims": decoded.claims}
    except Exception as error:
        return {"refused": type(error).__name__}


print(json.dumps([judge(token) for token in sys.argv[3:]]))
