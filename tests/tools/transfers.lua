-- Load for wrk: single transfers from one source to a thousand accounts, each with its own key.
--   TOKEN=<owner's token> wrk -t2 -c64 -d10s --latency -s tests/tools/transfers.lua http://127.0.0.1:8080
-- The accounts are opened by tests/tools/accounts.py, with the same token.
local token, run = os.getenv("TOKEN"), os.time()
local threads, sent = 0, 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function request()
  sent = sent + 1
  local account = string.format("00000000-0000-0000-0000-%012x", 1 + (sent * 7919 + number * 31) % 1000)
  local leg = '{"account_id":"%s","side":"%s","amount":{"amount":"0.01","currency":"EUR"}}'
  local body = '{"legs":[' .. string.format(leg, "00000000-0000-0000-0000-0000000fffff", "debit") .. ","
    .. string.format(leg, account, "credit") .. "]}"
  return wrk.format("POST", "/v1/ledger/transfers", {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. token,
    ["Idempotency-Key"] = run .. "-" .. number .. "-" .. sent,
  }, body)
end
