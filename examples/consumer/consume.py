"""Follows the events of Quipu on NATS, by docs/events.md and docs/asyncapi.json alone.

Each message comes at least once. What is kept of it and its place are written in one transaction of the consumer's own
database, and it is acknowledged afterwards: whenever this is killed, nothing is lost, and a repetition is recognised.
"""

import argparse
import asyncio
import json
import sqlite3
import sys
from pathlib import Path

import fastjsonschema
import nats
from nats.errors import TimeoutError as NothingNew
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.json"
TABLES = """
create table if not exists events (id text primary key, epoch integer, position integer, type text, tenant text, payload text);
create table if not exists place (one integer primary key check (one = 1), epoch integer, position integer);
insert or ignore into place values (1, 0, 0);
"""


class Contract:
    """What the document says of messages: which there are, their headers and payloads."""

    def __init__(self, path):
        self.document = json.loads(path.read_text())
        self.stream = self.document["x-quipu-stream"]
        self.marker = self.document["channels"]["epoch-changed"]["address"]
        self.validators = {}

    def check(self, message, headers, payload):
        """Raises if a message is not what the document says of it."""
        for part, value in (("headers", headers), ("payload", payload)):
            if value is not None:
                self.validator(message, part)(value)

    def validator(self, message, part):
        if (message, part) not in self.validators:
            schema = {"$ref": f"#/components/messages/{message}/{part}", "components": self.document["components"]}
            self.validators[message, part] = fastjsonschema.compile(schema)
        return self.validators[message, part]

    def message_of(self, headers):
        """The name of a message's description; None if a newer product sent it."""
        version = headers["ce-dataschema"].rsplit(":", 1)[1]
        name = f"{headers['ce-type']}.{version}"
        return name if name in self.document["components"]["messages"] else None


class Ledger:
    """The consumer's own memory."""

    def __init__(self, path):
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.executescript(TABLES)

    def place(self):
        return self.database.execute("select epoch, position from place").fetchone()

    def take(self, event_id, at, kind, tenant, payload):
        """Keeps an event and its place. False if it was known."""
        with Transaction(self.database):
            known = self.database.execute("select 1 from events where id = ?", (event_id,)).fetchone()
            if not known:
                row = (event_id, *at, kind, tenant, payload)
                self.database.execute("insert into events values (?, ?, ?, ?, ?, ?)", row)
            self.database.execute("update place set epoch = ?, position = ?", at)
        return not known

    def begin_epoch(self, epoch, position):
        """Forgets what did not happen."""
        with Transaction(self.database):
            self.database.execute("delete from events where epoch < ? and position > ?", (epoch, position))
            self.database.execute("update place set epoch = ?, position = ?", (epoch, position))

    def all(self):
        return self.database.execute("select epoch, position, id, type, payload from events order by epoch, position")


class Transaction:
    """All or nothing, on a connection that begins none by itself."""

    def __init__(self, database):
        self.database = database

    def __enter__(self):
        self.database.execute("begin immediate")

    def __exit__(self, failure, *_):
        self.database.execute("rollback" if failure else "commit")


def position_of(headers):
    epoch, position = headers["Quipu-Position"].split("-")
    return int(epoch), int(position)


class Unreadable(Exception):
    """A message that must not be passed by: it waits until somebody has looked."""


def handle(contract, ledger, message):
    """Takes one message. Says what became of it."""
    headers = dict(message.headers or {})
    epoch, position = at = position_of(headers)
    known_epoch, known_position = ledger.place()
    if epoch < known_epoch:
        return "void"
    if message.subject == contract.marker:
        body = json.loads(message.data)
        contract.check("epoch-changed", headers, body)
        if body["epoch"] > known_epoch:
            ledger.begin_epoch(body["epoch"], body["position"])
        return "epoch"
    if epoch > known_epoch > 0:
        raise Unreadable(f"epoch {epoch} began without its marker: begin anew, with another database and durable")
    name = contract.message_of(headers)
    if name is None:
        raise Unreadable(f"{headers['ce-dataschema']} is newer than asyncapi.json: renew that")
    omitted = "Quipu-Payload-Omitted" in headers
    contract.check(name, headers, None if omitted else json.loads(message.data))
    if epoch == known_epoch and position <= known_position:
        return "repeated"
    if epoch == known_epoch and position > known_position + 1:
        print(f"gap {known_position + 1} to {position - 1}: read it from the query API", flush=True)
    tenant = headers["ce-source"].removeprefix("/tenants/")
    new = ledger.take(headers["ce-id"], at, headers["ce-type"], tenant, None if omitted else message.data.decode())
    return "new" if new else "repeated"


async def consume(options):
    contract, ledger = Contract(options.document), Ledger(options.database)
    client = await nats.connect(options.server, name=options.durable)
    config = ConsumerConfig(
        durable_name=options.durable,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=options.ack_wait,
        # With more under way, those that were not acknowledged when this was killed would come after later ones.
        max_ack_pending=1,
    )
    subscription = await client.jetstream().pull_subscribe(
        contract.stream["subjects"][0], durable=options.durable, stream=contract.stream["name"], config=config
    )
    counts = {}
    try:
        while not options.until or ledger.place() < options.until:
            try:
                [message] = await subscription.fetch(1, timeout=1)
            except NothingNew:
                continue
            became = handle(contract, ledger, message)
            counts[became] = counts.get(became, 0) + 1
            print(f"{became} {message.headers['Quipu-Position']}", flush=True)
            await message.ack()
        await client.flush()
        print("done", json.dumps(counts, sort_keys=True), flush=True)
        return 0
    except Unreadable as reason:
        print(f"stopped: {reason}", flush=True)
        return 3
    finally:
        await client.close()


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="nats://127.0.0.1:4222", help="URL of NATS, with user and password")
    parser.add_argument("--database", default="events.db", help="SQLite file with what was taken")
    parser.add_argument("--durable", default="example", help="name of the durable consumer")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="asyncapi.json")
    parser.add_argument("--ack-wait", type=float, default=30, help="seconds until an unacknowledged message comes again")
    parser.add_argument("--until", type=position, help="stop at this position, such as 1-4711")
    parser.add_argument("--list", action="store_true", help="print what was taken, as lines of JSON, and end")
    return parser.parse_args(arguments)


def position(text):
    epoch, number = text.split("-")
    return int(epoch), int(number)


def main(arguments):
    options = options_of(arguments)
    if not options.list:
        return asyncio.run(consume(options))
    for epoch, at, event_id, kind, payload in Ledger(options.database).all():
        print(json.dumps({"position": f"{epoch}-{at}", "id": event_id, "type": kind, "payload": payload}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
