-- Many objects, `<path>/<number>.mp4`. Arguments: how many; `once` for each in turn and then the end,
-- `random` for any at any time. What is read once may end before wrk's time: `done` tells when it did.
local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long ns; } moment; int clock_gettime(int clock, moment *now);")
local MONOTONIC = 1

local function now_s()
  local now = ffi.new("moment")
  ffi.C.clock_gettime(MONOTONIC, now)
  return tonumber(now.s) + tonumber(now.ns) / 1e9
end

local threads = {}
function setup(thread)
  table.insert(threads, thread)
end

local count, once, asked, began_s = 0, false, -1, 0

function init(args)
  count, once = tonumber(args[1]), args[2] == "once"
  math.randomseed(1)
end

-- Without a `response`: wrk would copy every body for it.
function request()
  asked = once and asked + 1 or math.random(0, count - 1)
  if once and asked == 0 then
    began_s = now_s()
  elseif once and asked == count then
    took_s = now_s() - began_s
    wrk.thread:stop()
  end
  return wrk.format("GET", string.format("%s/%d.mp4", wrk.path, asked % count))
end

function done()
  for _, thread in ipairs(threads) do
    if thread:get("took_s") then
      io.write(string.format("all were asked for in %.3f s\n", thread:get("took_s")))
    end
  end
end
