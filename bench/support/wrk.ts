/** Load over keep-alive connections by wrk, a load generator that leaves the server most of the machine. */
import { execFile, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from './servers.js'

export interface Load {
  readonly connections: number
  readonly seconds: number
  /** Lua that defines `paths` (a table of paths), and for POSTs `body` or `bodies`. */
  readonly requests: string
  readonly method: 'GET' | 'POST'
}

export interface LoadResult {
  /** Answers a second. */
  readonly rate: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

/** Milliseconds in the percentiles. @throws when any request was not answered with 2xx */
export async function load(url: string, { connections, seconds, requests, method }: Load): Promise<LoadResult> {
  const script = join(temporaryFolder(), 'load.lua')
  writeFileSync(script, SCRIPT.replace('-- requests', requests).replace('METHOD', method))
  const out = await run(['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '30s', '-s', script, url])
  const line = /^RESULT (.*)$/m.exec(out)?.[1]
  if (line === undefined) throw new Error(`wrk said: ${out}`)
  const [answers, microseconds, errors, p50, p99, p999] = line.split(' ').map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number
  ]
  if (errors > 0) throw new Error(`${errors} of ${answers} requests to ${url} failed`)
  return { rate: answers / (microseconds / 1e6), p50: p50 / 1000, p99: p99 / 1000, p999: p999 / 1000 }
}

export function requireWrk(): void {
  if (spawnSync('wrk', ['--version']).error) {
    console.error('bench: wrk is not installed (apt-get install wrk, brew install wrk)')
    process.exit(1)
  }
}

function run(argv: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('wrk', argv, { maxBuffer: 1e8 }, (error, stdout, stderr) =>
      error ? reject(new Error(`${error.message}${stdout}${stderr}`)) : resolve(stdout)
    )
  })
}

/** Requests are put together once, before the clock runs. */
const SCRIPT = `
-- requests
local prepared = {}
local at = 0
function init(args)
  local headers = { ["Content-Type"] = "application/json" }
  math.randomseed(os.time())
  for i, path in ipairs(paths) do
    local text = bodies and bodies[(i - 1) % #bodies + 1] or body
    prepared[i] = wrk.format("METHOD", path, headers, text)
  end
end
function request()
  return prepared[math.random(#prepared)]
end
function done(summary, latency, requests)
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration, errors,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
`
