"""An authenticator: pyotp. It reads the address of a seed, as a picture holds it, and says as one JSON object on standard
output what it read and which code it shows now.

    totp.py URI
"""

import json
import sys

import pyotp

totp = pyotp.parse_uri(sys.argv[1])
print(
    json.dumps(
        {
            "account": totp.name,
            "issuer": totp.issuer,
            "digits": totp.digits,
            "interval": totp.interval,
            "secret": totp.secret,
            "code": totp.now(),
        }
    )
)
