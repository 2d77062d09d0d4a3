"""A passkey of python-fido2: its messages are written and its options read by code of others.

    passkey.py ORIGIN FILE OPTIONS make ALGORITHM       the body of POST /v1/auth/passkeys; the key goes into FILE
    passkey.py ORIGIN FILE OPTIONS sign ORGANISATION    the body of POST /v1/auth/passkey-sign-in

ALGORITHM is -7 (ES256) or -8 (EdDSA). Options are JSON, and so is the body, on standard output.
"""

import json
import os
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from fido2.cose import ES256, EdDSA
from fido2.utils import sha256, websafe_encode
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
    PublicKeyCredentialCreationOptions,
    PublicKeyCredentialRequestOptions,
)

ORIGIN, PATH = sys.argv[1:3]
VERIFIED = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV


def make(algorithm, given):
    options = PublicKeyCredentialCreationOptions.from_dict(given)
    assert algorithm in [it.alg for it in options.pub_key_cred_params], options
    assert options.authenticator_selection.user_verification == "required", options
    key = ec.generate_private_key(ec.SECP256R1()) if algorithm == -7 else ed25519.Ed25519PrivateKey.generate()
    cose = (ES256 if algorithm == -7 else EdDSA).from_cryptography_key(key.public_key())
    credential = AttestedCredentialData.create(bytes(16), os.urandom(32), cose)
    with open(PATH, "wb") as file:
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write(credential.credential_id + pem)
    told = AuthenticatorData.create(sha256(options.rp.id.encode()), VERIFIED | AuthenticatorData.FLAG.AT, 1, credential)
    client = CollectedClientData.create(CollectedClientData.TYPE.CREATE, options.challenge, ORIGIN)
    attested = AttestationObject.create("none", told, {})
    return {"client_data": websafe_encode(client), "attestation": websafe_encode(attested)}


def sign(organisation, given):
    options = PublicKeyCredentialRequestOptions.from_dict(given)
    assert options.user_verification == "required", options
    with open(PATH, "rb") as file:
        kept = file.read()
    key = serialization.load_pem_private_key(kept[32:], None)
    told = AuthenticatorData.create(sha256(options.rp_id.encode()), VERIFIED, 2)
    client = CollectedClientData.create(CollectedClientData.TYPE.GET, options.challenge, ORIGIN)
    message = told + client.hash
    is_ec = isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(message, ec.ECDSA(hashes.SHA256())) if is_ec else key.sign(message)
    return {
        "tenant_slug": organisation,
        "id": websafe_encode(kept[:32]),
        "client_data": websafe_encode(client),
        "authenticator_data": websafe_encode(told),
        "signature": websafe_encode(signature),
    }


given, step, what = json.loads(sys.argv[3]), *sys.argv[4:6]
print(json.dumps(make(int(what), given) if step == "make" else sign(what, given)))
