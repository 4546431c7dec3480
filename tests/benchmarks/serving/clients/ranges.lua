-- Ranges of a fixed size at random places of one object. Arguments: bytes of a range, of the object.
-- The requests are made before the clock runs: this costs the client no more than a fixed one.
local requests = {}

function init(args)
  local range, object = tonumber(args[1]), tonumber(args[2])
  math.randomseed(1)
  for i = 1, 1024 do
    local first = math.random(0, object / range - 1) * range
    wrk.headers["Range"] = string.format("bytes=%d-%d", first, first + range - 1)
    requests[i] = wrk.format("GET")
  end
end

local asked = 0
function request()
  asked = asked % #requests + 1
  return requests[asked]
end
