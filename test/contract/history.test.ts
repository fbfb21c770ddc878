/** The main use case: imports a real history, reads it in every way, and exports it unchanged. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { listen } from '../helpers/app.js'
import { daybook } from '../helpers/cli.js'
import { HISTORY_FILE as FILE, type HistoryLine, hasHistory, historyLines } from '../helpers/history.js'

t.test('a real history of 15,835 events', { skip: !hasHistory && 'the history is not on this machine' }, async (t) => {
  const lines = historyLines()
  const directory = join(t.testdir({}), 'db')
  const { app, url } = await listen(t, { directory })
  const get = async (path: string) => (await app.inject(path)).json()

  t.match(await daybook(['import', FILE, '--url', url, '--occurred-from', '/data/committedAt']), {
    code: 0,
    stderr: /15,835 events imported/
  })
  t.match(await daybook(['import', FILE, '--url', url, '--occurred-from', '/data/committedAt']), {
    code: 0,
    stderr: /0 events imported, 15,835 were there/
  })

  await t.test('the server counts the imported events and streams', async (t) => {
    const { types } = await get('/types')
    t.same(Object.fromEntries(types.map(({ name, events }: { name: string; events: number }) => [name, events])), {
      FileChanged: 10_211,
      CommitAuthored: 4422,
      FileAdded: 655,
      ReleaseTagged: 294,
      FileDeleted: 253
    })
    let streams = 0
    for (let next = '/streams?limit=1000'; next; ) {
      const page = await get(next)
      streams += page.streams.length
      next = page.links.next
    }
    t.equal(streams, 1872)
  })

  await t.test('streams with "/", "." or "%" in their names can be read', async (t) => {
    const byStream = new Map<string, HistoryLine[]>()
    for (const line of lines) byStream.set(line.stream, [...(byStream.get(line.stream) ?? []), line])
    const hard = [...byStream.keys()].filter((name) => /[%]|\/.*\./.test(name)).slice(0, 150)
    t.ok(hard.length > 50, 'some names have "/", "." or "%"')
    for (const name of hard) {
      const { events } = await get(`/streams/${encodeURIComponent(name)}?limit=4096`)
      const same =
        JSON.stringify(events.map(({ data }: HistoryLine) => data)) ===
        JSON.stringify(byStream.get(name)?.map(({ data }) => data))
      if (!same) t.fail(`"${name}" differs from the imported events`)
    }
  })

  await t.test('the imported events can be read by type, category, expression and time', async (t) => {
    const count = async (query: string) => {
      const { body } = await app.inject(`/events?format=ndjson&${query}`)
      return body === '' ? 0 : body.trimEnd().split('\n').length
    }
    t.equal(await count('type=ReleaseTagged'), 294)
    t.equal(await count('type=ReleaseTagged&type=FileDeleted'), 294 + 253)
    t.equal(await count('type.prefix=File'), 10_211 + 655 + 253)
    t.equal(await count('type.regex=^(Commit|Release)'), 4422 + 294)
    t.equal(await count('type.not=FileChanged'), 15_835 - 10_211)
    const category = (name: string) => name.slice(0, Math.max(name.indexOf('-'), 0))
    for (const name of new Set(lines.map(({ stream }) => category(stream)).filter(Boolean))) {
      const wanted = lines.filter(({ stream }) => category(stream) === name).length
      t.equal(await count(`category=${encodeURIComponent(name)}`), wanted, `category ${name}`)
    }
    const before = await count('occurred.to=2018-12-31T23:59:59Z')
    const after = await count('occurred.from=2019-01-01')
    t.equal(before + after, await count('occurred.from=1970-01-01'))
    t.ok(before > 0 && after > 0)
    const newest = await get('/events?type=ReleaseTagged&order=desc&limit=2')
    t.equal(newest.events.length, 2)
    t.ok(newest.events[0].position > newest.events[1].position)
  })

  await t.test('an export has the same events after an import into another server', async (t) => {
    const folder = t.testdir({})
    const out = join(folder, 'out.ndjson.gz')
    t.match(await daybook(['export', '--url', url, '--output', out]), { code: 0, stderr: /15,835 events exported/ })
    const first = gunzipSync(readFileSync(out)).toString()
    const copy = join(folder, 'copy')
    t.match(await daybook(['import', out, '--db', copy, '--as-log']), { code: 0 })
    const again = join(folder, 'again.ndjson')
    t.match(await daybook(['export', '--db', copy, '--output', again]), { code: 0 })
    t.ok(readFileSync(again, 'utf8') === first, 'the same positions, numbers, ids, times and bytes')
    t.same((await checkDirectory(copy)).disagreements, [])
    const other = join(folder, 'other')
    t.match(await daybook(['import', out, '--db', other]), { code: 0 })
    const third = join(folder, 'third.ndjson')
    t.match(await daybook(['export', '--db', other, '--output', third]), { code: 0 })
    // The checksum in "record" includes the time.
    const withoutCreated = (text: string) =>
      text.replaceAll(/"created":"[^"]+"(,"occurred":"[^"]+")?|"record":\{[^}]*\}/g, '')
    t.ok(
      withoutCreated(readFileSync(third, 'utf8')) === withoutCreated(first),
      'the same streams, numbers, ids and bytes'
    )
  })

  await t.test('an import stops at the first bad line, names it and writes nothing after it', async (t) => {
    const folder = t.testdir({
      'bad.ndjson': `${JSON.stringify({ stream: 'bad-1', type: 'A' })}\n{"stream":"bad-1","type":""}\n${JSON.stringify({ stream: 'bad-1', type: 'B' })}\n`
    })
    const said = await daybook(['import', join(folder, 'bad.ndjson'), '--url', url])
    t.match(said, { code: 1, stderr: /Line 2/i })
    t.equal((await get('/streams/bad-1')).events.length, 1)
  })
})
