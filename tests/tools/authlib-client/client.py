"""A service as others write one, with authlib: signs somebody in, uses what it gets, and gives it back.

It says where to send the person, is told on its input where they came back, and says at the end what it learnt, as JSON.
What it asks of the issuer's address goes to the address where the issuer is under test.
"""

import json
import secrets
import sys

from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet
from requests.adapters import HTTPAdapter

ISSUER, BASE, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI = sys.argv[1:]
TIMEOUT = 30


class Elsewhere(HTTPAdapter):
    """Asks the issuer where it is under test."""

    def send(self, request, **kwargs):
        request.url = request.url.replace(ISSUER, BASE, 1)
        return super().send(request, **kwargs)


def say(value):
    print(json.dumps(value), flush=True)


def session(method, scope):
    """A client that shows who it is by this method."""
    made = OAuth2Session(
        CLIENT_ID,
        CLIENT_SECRET,
        scope=scope,
        redirect_uri=REDIRECT_URI,
        code_challenge_method="S256",
        token_endpoint_auth_method=method,
        default_timeout=TIMEOUT,
    )
    made.mount(ISSUER, Elsewhere())
    return made


def refused(act):
    """With which word something is refused."""
    try:
        act()
    except AuthlibBaseError as error:
        return error.error
    return "nothing"


client = session("client_secret_basic", "openid profile email")
metadata = client.get(f"{ISSUER}/.well-known/openid-configuration", withhold_token=True).json()
verifier, nonce = generate_token(64), secrets.token_urlsafe(16)
url, state = client.create_authorization_url(
    metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce
)
say({"authorize": url})
back = sys.stdin.readline().strip()

endpoint = metadata["token_endpoint"]
token = client.fetch_token(endpoint, authorization_response=back, state=state, code_verifier=verifier)
keys = KeySet.import_key_set(client.get(metadata["jwks_uri"], withhold_token=True).json())
signed = jwt.decode(token["id_token"], keys, algorithms=["EdDSA"])
claims = CodeIDToken(
    signed.claims,
    signed.header,
    {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": CLIENT_ID}},
    {"nonce": nonce, "client_id": CLIENT_ID, "access_token": token["access_token"]},
)
claims.validate(leeway=5)
person = client.get(metadata["userinfo_endpoint"]).json()
first = token["refresh_token"]
renewed = client.refresh_token(endpoint, refresh_token=first)


def active():
    """Whether the access token is good."""
    return client.introspect_token(
        metadata["introspection_endpoint"], token=renewed["access_token"], token_type_hint="access_token"
    ).json()


facts = active()
client.revoke_token(
    metadata["revocation_endpoint"], token=renewed["refresh_token"], token_type_hint="refresh_token"
).raise_for_status()
after = active()

itself = session("client_secret_post", "ledger.read-accounts")
own = itself.fetch_token(endpoint, grant_type="client_credentials")

say(
    {
        "sub": claims["sub"],
        "email": person["email"],
        "same": person["sub"] == claims["sub"],
        "rotated": renewed["refresh_token"] != first,
        "scope": facts["scope"],
        "active": facts["active"],
        "activeAfter": after["active"],
        "itself": own["scope"],
        "hasRefresh": "refresh_token" in own,
        "replayed": refused(
            lambda: session("client_secret_basic", "openid").fetch_token(
                endpoint, authorization_response=back, state=state, code_verifier=verifier
            )
        ),
        "tooMuch": refused(
            lambda: session("client_secret_post", "openid").fetch_token(
                endpoint, grant_type="client_credentials"
            )
        ),
        "otherState": refused(
            lambda: session("client_secret_basic", "openid").fetch_token(
                endpoint, authorization_response=back, state="another", code_verifier=verifier
            )
        ),
    }
)
