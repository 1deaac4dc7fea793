-- What shoppers do, mixed: reads of the catalogue and of offers over a Zipf distribution, clicks, wallets, writes.
--   wrk -s mix.lua URL -- FILE SEED CATALOGUE OFFER CLICK WALLET WRITE
-- FILE has lines of a kind and a value, parted by a tab; those of a kind are in order of popularity. The last five are
-- the shares of the kinds; they are added up, so that any sum will do.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

local KINDS = { "catalogue", "offer", "click", "wallet", "write" }
local BROWSER = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36"
local lists = { catalogue = {}, offer = {}, click = {}, wallet = {}, write = {}, token = {} }
local shares, prefix, made = {}, "", 0

function init(args)
  for line in io.lines(args[1]) do
    local kind, value = line:match("^(%w+)\t(.*)$")
    local list = lists[kind]
    if kind == "catalogue" or kind == "offer" then
      value = wrk.format("GET", value, { ["Host"] = wrk.headers["Host"], ["User-Agent"] = BROWSER })
    end
    list[#list + 1] = value
  end
  math.randomseed(tonumber(args[2]) * 1000 + number)
  -- The keys of no other run: what has been answered once is not done again.
  prefix = string.format("%x-%d-%s-", os.time(), number, args[2])
  local sum = 0
  for position, kind in ipairs(KINDS) do
    sum = sum + tonumber(args[position + 2])
    shares[position] = sum
  end
  for position in ipairs(KINDS) do
    shares[position] = shares[position] / sum
  end
end

-- The place k is taken about 1/k as often as the first: Zipf's law with exponent 1.
local function zipf(list)
  return list[math.floor(math.exp(math.random() * math.log(#list + 1)))]
end

local function any(list)
  return list[math.random(#list)]
end

local function own(method, path, body)
  made = made + 1
  return wrk.format(method, path, {
    ["Host"] = wrk.headers["Host"],
    ["User-Agent"] = BROWSER,
    ["Authorization"] = "Bearer " .. any(lists.token),
    ["Idempotency-Key"] = prefix .. made,
    ["Content-Type"] = "application/json",
  }, body)
end

function request()
  local share = math.random()
  if share < shares[1] then
    return zipf(lists.catalogue)
  elseif share < shares[2] then
    return zipf(lists.offer)
  elseif share < shares[3] then
    return own("POST", "/v1/clicks", zipf(lists.click))
  elseif share < shares[4] then
    return own("GET", any(lists.wallet))
  end
  return own("PATCH", "/v1/me", any(lists.write))
end
