/** How the server process ends: at any moment of its start, during an index rebuild, and after an uncaught error. */
import { once } from 'node:events'
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Progress, StartProgress } from '../src/commands/progress.js'
import { Store } from '../src/store/store.js'
import { checkDirectory } from '../src/verify/check-directory.js'
import { serve } from './helpers/cli.js'
import { StillClock } from './helpers/clock.js'
import { encodeEvent } from './helpers/events.js'
import { compiledScript } from './helpers/project.js'

const PRELOAD = compiledScript('test/helpers/stopped-start.ts')
const EVENTS = 4000

const preloaded = (env: Record<string, string>) => ({ env: { ...env, NODE_OPTIONS: `--import=${PRELOAD}` } })

t.test(
  'a signal at any moment of a start ends the process with exit code 0, and the next start succeeds',
  async (t) => {
    const whole = await filled(t)
    rmSync(join(whole, 'index'), { recursive: true })
    let stops = 0
    // At growing distances (1, 3, 7, …): opening, checking, rebuilding the index, reading accounts.
    for (let at = 1; ; at = Math.ceil(at * 2.2)) {
      const directory = join(t.testdirName, `at-${at}`)
      cpSync(whole, directory, { recursive: true })
      const running = serve(['serve', '--db', directory, '--port', '0'], preloaded({ STOP_AT: String(at) }))
      const started = await running.then(
        ({ child, banner }) => ({ child, output: banner, code: undefined }),
        (error: Error) => ({
          child: undefined,
          output: error.message,
          code: /ended with (\S+):/.exec(error.message)?.[1]
        })
      )
      if (started.child !== undefined) {
        // The start was complete before this number of calls.
        const ended = once(started.child, 'exit')
        started.child.kill('SIGTERM')
        t.same(await ended, [0, null])
        break
      }
      stops++
      const place = /stopped at (.*)/.exec(started.output)?.[1]
      t.equal(started.code, '0', `call ${at}, ${place}: ${started.output}`)
      t.match(started.output, /SIGTERM: stopping/)
      t.notMatch(started.output, /Error|did not stop|Daybook 0|\n\s+at /, `call ${at}, ${place}`)
      const store = await new Store({ directory }).open()
      t.equal(store.log.head, EVENTS - 1)
      t.equal((await store.postings.head('s', 's-0'))?.count, EVENTS / 4)
      await store.close()
      t.same((await checkDirectory(directory)).disagreements, [], `call ${at}, ${place}: everything agrees`)
      rmSync(directory, { recursive: true })
    }
    t.ok(stops > 3, 'starts were stopped at several steps')
  }
)

t.test('a Ctrl-C that both the terminal and npm deliver counts as one', async (t) => {
  const directory = join(t.testdir({}), 'db')
  const running = serve(['serve', '--db', directory, '--port', '0'])
  const { child } = await running
  const ended = once(child, 'exit')
  child.kill('SIGINT')
  child.kill('SIGINT')
  t.same(await ended, [0, null])
})

t.test('an uncaught error stops the server cleanly, is printed with its stack, and gives exit code 1', async (t) => {
  const directory = join(t.testdir({}), 'db')
  const { child, url } = await serve(['serve', '--db', directory, '--port', '0'], preloaded({ THROW: 'EBUG' }))
  let output = ''
  child.stderr?.on('data', (chunk) => (output += chunk))
  const ended = once(child, 'exit')
  t.equal((await fetch(`${url}/ping`)).status, 200)
  t.same(await ended, [1, null])
  t.match(output, /daybook: stopping because of a bug, an uncaught error: Error: EBUG: thrown/)
  t.same((await checkDirectory(directory)).disagreements, [])
})

t.test('a timer that fails for lack of a file descriptor does not end the server', async (t) => {
  const directory = join(t.testdir({}), 'db')
  const { child, url } = await serve(['serve', '--db', directory, '--port', '0'], preloaded({ THROW: 'EMFILE' }))
  const warned = new Promise<string>((resolve) =>
    child.stderr?.on('data', (chunk) => /EMFILE/.test(chunk) && resolve(String(chunk)))
  )
  t.equal((await fetch(`${url}/ping`)).status, 200)
  t.match(await warned, /WARNING: the process has no file descriptors left.*ulimit -n/)
  t.equal((await fetch(`${url}/ping`)).status, 200, 'the server keeps serving')
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  t.same(await ended, [0, null])
})

t.test('a slow start shows its progress: a bar in a terminal, a line every ten seconds elsewhere', async (t) => {
  const show = (isTTY: boolean) => {
    const clock = new StillClock()
    const written: string[] = []
    const out = { isTTY, write: (text: string) => written.push(text) > 0 }
    const progress = new StartProgress(clock, out as never)
    for (let done = 0; done <= 300; done++) {
      progress.show('the index is catching up with the log', done * 1000, 300_000)
      clock.move(100)
    }
    progress.clear()
    return written
  }
  const lines = show(false)
  t.equal(lines.length, 3, 'one line after a second, then one every ten seconds')
  t.match(lines[0], /^the index is catching up with the log: 3 % · 10,000 events · 10,000\/s\n$/)
  const drawn = show(true)
  t.ok(drawn.length > 200)
  t.match(drawn[0], /^\r\x1b\[Kthe index is catching up with the log █░+ 10,000 events/)
  t.equal(drawn.at(-1), '\r\x1b[K', 'the bar is cleared at the end')
  const quick: string[] = []
  const clock = new StillClock()
  const out = { isTTY: false, write: (text: string) => quick.push(text) > 0 }
  new StartProgress(clock, out as never).show('the index is catching up with the log', 1, 2)
  new Progress('verifying', clock, { out: out as never }).show(1, 0.5)
  t.same(quick, [], 'a short start prints nothing, and a command that prints a last line prints no progress lines')
})

/** Creates a closed directory with EVENTS events in four streams. */
async function filled(t: Test): Promise<string> {
  const directory = join(t.testdir({}), 'whole')
  const store = await new Store({ directory }).open()
  for (let i = 0; i < EVENTS; i += 400) {
    const events = Array.from({ length: 400 }, (_, j) => encodeEvent(`s-${j % 4}`))
    await store.writer.append({ events, conditions: [], kind: 'append' })
  }
  await store.close()
  return directory
}
