/** Load over keep-alive connections by wrk, which leaves the server most of the machine. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runChild, temporaryFolder } from './processes.js'
import type { Server } from './servers.js'
import { cpuSeconds, type Rate } from './usage.js'

export interface Requests {
  /** Number of streams. Requests go to `/streams/bench-0`, `/streams/bench-1`… at random. */
  readonly streams?: number
  /** Path suffixes after the stream's name, chosen at random. */
  readonly suffixes?: readonly string[]
  /** Paths instead of streams and suffixes, chosen at random. */
  readonly paths?: readonly string[]
  /** Bodies to POST, chosen at random; absent: GET. */
  readonly bodies?: readonly string[]
  readonly accept?: string
  readonly authorization?: string
}

/** Placeholder in paths and bodies for a random UUID, a new one for each request. It has the length of a UUID. */
export const FRESH = 'FRESHUUIDFRESHUUIDFRESHUUIDFRESHUUID'

/** Returns a wrk script for the requests of a load. */
export interface Script {
  readonly path: string
}

/** Responses per second. */
export interface LoadResult extends Rate {
  /** Latency, milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly worst: number
}

export function hasWrk(): boolean {
  return spawnSync('wrk', ['--version']).error === undefined
}

export function writeScript({
  streams = 0,
  suffixes = [''],
  paths = [],
  bodies = [],
  accept = '*/*',
  authorization = ''
}: Requests): Script {
  const path = join(temporaryFolder(), 'load.lua')
  const list = (texts: readonly string[]) => `{ ${texts.map((text) => `[==[${text}]==]`).join(', ')} }`
  const values = [
    JSON.stringify(FRESH),
    String(streams),
    list(suffixes),
    list(paths),
    list(bodies),
    JSON.stringify(accept),
    JSON.stringify(authorization)
  ]
  const head = `local FRESH, streams, suffixes, paths, bodies, accept, authorization = ${values.join(', ')}`
  writeFileSync(path, `${head}\n${SCRIPT}`)
  return { path }
}

/** @throws if any request did not get a 2xx */
export async function load(
  { url, pid }: Server,
  { path }: Script,
  { connections, seconds }: { connections: number; seconds: number }
): Promise<LoadResult> {
  const argv = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '30s', '-s', path, url]
  const cpu = cpuSeconds(pid)
  const out = await runChild('wrk', argv)
  const used = cpuSeconds(pid) - cpu
  const line = /^RESULT (.*)$/m.exec(out)?.[1]
  if (line === undefined) throw new Error(`unexpected output of wrk: ${out}`)
  const [answers = 0, took = 0, failed, p50 = 0, p99 = 0, p999 = 0, worst = 0] = line.split(' ').map(Number)
  if (failed !== 0 || answers === 0) throw new Error(`${failed} of ${answers} requests to ${url} failed`)
  return {
    rate: answers / (took / 1e6),
    cpu: (used * 1e6) / answers,
    p50: p50 / 1000,
    p99: p99 / 1000,
    p999: p999 / 1000,
    worst: worst / 1000
  }
}

/**
 * Short requests are built before the measurement; long ones would exceed Lua's memory. Texts with UUID placeholders
 * are stored in pieces: the UUIDs are at the even positions.
 */
const SCRIPT = `
local headers = { ["Content-Type"] = "application/json", ["Accept"] = accept }
if authorization ~= "" then headers["Authorization"] = authorization end
local method = #bodies > 0 and "POST" or "GET"
local given, prepared = #paths > 0, {}

local function any(list)
  return list[math.random(#list)]
end

-- Two loads within a second must not make the same UUIDs.
local function seed()
  local file = io.open("/dev/urandom", "rb")
  local number = 0
  for _, byte in ipairs({ file:read(6):byte(1, 6) }) do number = number * 256 + byte end
  file:close()
  math.randomseed(number)
end

local function uuid()
  local random = math.random
  return string.format("%08x-%04x-4%03x-a%03x-%04x%08x", random(0, 4294967295), random(0, 65535), random(0, 4095),
    random(0, 4095), random(0, 65535), random(0, 4294967295))
end

local function cut(text)
  local pieces, from = {}, 1
  for at in function() return text:find(FRESH, from, true) end do
    pieces[#pieces + 1] = text:sub(from, at - 1)
    pieces[#pieces + 1] = ""
    from = at + #FRESH
  end
  pieces[#pieces + 1] = text:sub(from)
  return pieces
end

local function joined(pieces)
  if #pieces == 1 then return pieces[1] end
  for i = 2, #pieces, 2 do pieces[i] = uuid() end
  return table.concat(pieces)
end

function init(args)
  seed()
  for i = 0, given and -1 or streams - 1 do
    for _, suffix in ipairs(suffixes) do paths[#paths + 1] = "/streams/bench-" .. i .. suffix end
  end
  if #bodies > 0 and #bodies[1] > 4096 then
    for i, body in ipairs(bodies) do bodies[i] = cut(body) end
    return
  end
  for i, path in ipairs(paths) do
    prepared[i] = cut(wrk.format(method, path, headers, bodies[(i - 1) % #bodies + 1]))
  end
end

function request()
  if #prepared > 0 then return joined(any(prepared)) end
  return wrk.format(method, any(paths), headers, joined(any(bodies)))
end

function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("RESULT %d %d %d %d %d %d %d\\n", summary.requests, summary.duration, failed,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
`
