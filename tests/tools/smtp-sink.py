"""A mail server that delivers nothing: aiosmtpd behind a port of the loopback interface. It says on standard output,
as one JSON object a line, where it listens and then each letter that it took.

    smtp-sink.py [--tls immediate|starttls --certificate FILE --key FILE] [--login USER:PASSWORD]
"""

import argparse
import asyncio
import json
import ssl
import sys
from email import message_from_bytes, policy

from aiosmtpd.smtp import SMTP, AuthResult


def say(what):
    print(json.dumps(what), flush=True)


class Sink:
    """Tells what arrived, read by Python's own parser of letters."""

    async def handle_DATA(self, server, session, envelope):
        letter = message_from_bytes(envelope.content, policy=policy.SMTPUTF8)
        text, html = (letter.get_body((kind,)) for kind in ("plain", "html"))
        say({
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "headers": [[name.lower(), str(value)] for name, value in letter.items()],
            "text": text and text.get_content(),
            "html": html and html.get_content(),
            "protected": session.ssl is not None or bool(server.transport.get_extra_info("ssl_object")),
            "user": session.auth_data and session.auth_data.login.decode(),
        })
        return "250 taken"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", choices=["immediate", "starttls"])
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--login")
    options = parser.parse_args()

    context = None
    if options.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.certificate, options.key)
    settings = {"enable_SMTPUTF8": True}
    if options.tls == "starttls":
        settings |= {"tls_context": context, "require_starttls": True}
    if options.login:
        user, password = options.login.split(":", 1)

        def authenticate(server, session, envelope, mechanism, data):
            right = (data.login, data.password) == (user.encode(), password.encode())
            return AuthResult(success=right, auth_data=data if right else None, handled=right)

        # aiosmtpd does not see that TLS began with the first byte, so it would not offer a login there.
        settings |= {
            "authenticator": authenticate,
            "auth_required": True,
            "auth_require_tls": options.tls == "starttls",
        }
    asyncio.run(serve(context if options.tls == "immediate" else None, settings))


async def serve(context, settings):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(), **settings), "127.0.0.1", 0, ssl=context)
    say({"port": server.sockets[0].getsockname()[1]})
    # Whoever started it holds the other end; the sink ends with it.
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


main()
