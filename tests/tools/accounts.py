#!/usr/bin/env python3
"""Opens the accounts that transfers.lua uses: TOKEN=<owner's token> python3 tests/tools/accounts.py [URL]"""
import json
import os
import sys
import urllib.request

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"


def run(key, items):
    request = urllib.request.Request(
        URL + "/v1/ledger/batches",
        data=json.dumps({"items": items}).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["TOKEN"],
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        },
    )
    with urllib.request.urlopen(request) as answer:
        return [result["status"] for result in json.load(answer)["results"]]


def account(number, name, **more):
    return {"open_account": {"id": "00000000-0000-0000-0000-%012x" % number, "name": name, "currency": "EUR", **more}}


source = account(0xFFFFF, "source", min_balance=None)
others = [account(number, "account %d" % number) for number in range(1, 1001)]
statuses = run("load-accounts-1", [source] + others[:500]) + run("load-accounts-2", others[500:])
print({status: statuses.count(status) for status in set(statuses)})
