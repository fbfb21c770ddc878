/** Third-party clients with their default headers get responses that they can use. */
import { spawn, spawnSync } from 'node:child_process'
import RssParser from 'rss-parser'
import t from 'tap'
import { append, listen } from '../helpers/app.js'
import { skipWithout } from '../helpers/executables.js'

t.test('a feed reader with its default headers reads a stream as a feed', async (t) => {
  const { app, url } = await listen(t)
  for (let i = 0; i < 3; i++) await append(app, 'news-1', { type: 'Published', data: { i } })
  const feed = await new RssParser().parseURL(`${url}/streams/news-1`)
  t.equal(feed.title, "Event stream 'news-1'")
  t.same(
    feed.items.map(({ title, link }) => [title, link]),
    [2, 1, 0].map((number) => [`${number}@news-1`, `${url}/streams/news-1/${number}`])
  )
  const [first] = feed.items
  t.ok(Date.parse(first?.isoDate ?? ''), 'an entry has a date')
})

t.test('curl --json prints the problem of a wrong address or body', { skip: skipWithout('curl') }, async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', { type: 'T' })
  for (const [path, code] of [
    ['/event', 'not-found'],
    ['/streams/cdc/products', 'method-not-allowed'],
    ['/streams/s', 'invalid-event']
  ]) {
    const { stdout } = await run('curl', ['-s', '--json', '{"typ":"T"}', url + path])
    t.match(JSON.parse(stdout), { code }, `${path}: ${stdout}`)
  }
})

t.test('wget saves pages and events as JSON', { skip: isMissing('wget') }, async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', { type: 'T', data: { qty: 2 } })
  for (const [path, holds] of [
    ['/streams/s', { events: [{ type: 'T', data: { qty: 2 } }] }],
    ['/streams/s/0', { type: 'T', data: { qty: 2 } }],
    ['/events', { events: [{ type: 'T' }] }]
  ] as const) {
    const { code, stdout } = await run('wget', ['-q', '-O', '-', url + path])
    t.equal(code, 0, path)
    t.match(JSON.parse(stdout), holds, path)
  }
})

const PYTHON = `
import json, sys, urllib.request, urllib.error
base = sys.argv[1]
def call(path, data=None, **headers):
    request = urllib.request.Request(base + path, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer: return [answer.status, json.load(answer)]
    except urllib.error.HTTPError as refused:
        return [refused.code, refused.reason]
body = json.dumps({"type": "T", "data": {"qty": 2}}).encode()
print(json.dumps({
    "append": call("/streams/py", body, **{"Content-Type": "application/json"})[0],
    "form": call("/streams/py", body),
    "page": call("/streams/py")[1]["events"][0]["data"],
    "event": call("/streams/py/0")[1]["data"],
    "missing": call("/streams/none"),
}))
`

t.test(
  "Python's urllib, which sends no Accept header, appends and reads",
  { skip: skipWithout('python3') },
  async (t) => {
    const { url } = await listen(t)
    const { stdout, stderr } = await run('python3', ['-c', PYTHON, url])
    t.same(
      JSON.parse(stdout || 'null'),
      {
        append: 201,
        form: [415, 'Invalid or missing Content-Type'],
        page: { qty: 2 },
        event: { qty: 2 },
        missing: [404, 'Not Found']
      },
      stderr
    )
  }
)

/** Returns the reason to skip a test; false when the command is installed. */
function isMissing(command: string): string | false {
  return spawnSync(command, ['--version']).error === undefined ? false : `${command} is not installed`
}

/** Runs a command. Asynchronous, because the server runs in the same process. */
function run(command: string, words: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => (stdout += chunk))
  child.stderr.on('data', (chunk) => (stderr += chunk))
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })))
}
