-- For wrk: each request with the next of the tokens in the file that is named after "--".

local requests = {}
local current = 0

function init(arguments)
  for token in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("GET", nil, { ["Authorization"] = "Bearer " .. token })
  end
end

function request()
  current = current % #requests + 1
  return requests[current]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "RESULT %f %d %f %f %d\n",
    summary.requests / summary.duration * 1e6,
    summary.requests,
    latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout
  ))
end
