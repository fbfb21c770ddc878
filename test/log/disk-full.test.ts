import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { encodeEvent } from '../helpers/events.js'
import { post, ReturningServer } from '../helpers/returning-server.js'

const MEGABYTE = 1024 * 1024

/** Mounts a file system of 160 MB in memory. @returns its path; undefined where mounting is not allowed */
function smallDisk(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'daybook-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=160m', 'tmpfs', folder], { stdio: 'ignore' })
    return folder
  } catch {
    rmSync(folder, { recursive: true })
    return undefined
  }
}

const disk = smallDisk() ?? ''
const skip = disk === '' && 'a small file system cannot be mounted here'
t.test(
  'a server killed on a full disk restarts: it serves reads and answers appends with 507 until there is space',
  { skip },
  async (t) => {
    const folder = smallDisk() as string
    const server = new ReturningServer(join(folder, 'db'))
    t.teardown(async () => {
      await server.kill()
      execFileSync('umount', [folder])
      rmSync(folder, { recursive: true })
    })
    await server.start()
    while (
      !existsSync(join(folder, 'db', 'ballast')) ||
      statSync(join(folder, 'db', 'ballast')).size < limits.ballast_bytes
    )
      await new Promise((resolve) => setImmediate(resolve))
    // Fill the write-ahead logs: opening them again needs disk space.
    for (let i = 0; i < 12; i++) await post(server.url, `s-${i}`, { type: 'T', data: 'x'.repeat(1_000_000) })
    await server.kill()
    fillUp(join(folder, 'hog'))
    await server.start()
    t.equal((await fetch(`${server.url}/streams/s-11/0`)).status, 200, 'reads are served')
    t.match(await (await fetch(`${server.url}/readyz`)).json(), { status: 'read-only', reason: 'the disk is full' })
    t.equal(existsSync(join(folder, 'db', 'ballast')), false, 'the ballast is deleted')
    const append = () =>
      fetch(`${server.url}/streams/s-0`, {
        method: 'POST',
        headers: { 'event-type': 'T', 'content-type': 'text/plain' },
        body: 'more'
      })
    const refused = await append()
    t.match(await refused.json(), { status: 507, code: 'read-only', written: false })
    rmSync(join(folder, 'hog'))
    let answer = await append()
    while (answer.status === 507) answer = await append()
    t.equal(answer.status, 201, 'appends succeed again without a restart')
    await server.kill()
    t.same((await checkDirectory(join(folder, 'db'))).disagreements, [])
  }
)

t.test(
  'on a full disk, appends are refused, reads continue, no acknowledged event is lost, and appends resume with space',
  { skip },
  async (t) => {
    t.teardown(() => {
      execFileSync('umount', [disk])
      rmSync(disk, { recursive: true })
    })
    const directory = join(disk, 'db')
    const store = await new Store({ directory, ballastBytes: 8 * MEGABYTE }).open()
    const hog = join(disk, 'hog')
    writeFileSync(hog, Buffer.alloc(100 * MEGABYTE))
    const append = () =>
      store.writer.append({ events: [encodeEvent('s', { data: 'x'.repeat(500_000) })], conditions: [], kind: 'append' })
    let acknowledged = 0
    let refusal: { code?: string } = {}
    while (refusal.code === undefined) {
      await append().then(
        () => acknowledged++,
        (error) => {
          refusal = error
        }
      )
    }
    t.equal(refusal.code, 'read-only', 'the first failed append has the code of later ones')
    await t.rejects(append(), { code: 'read-only' })
    t.equal(
      (await store.reader.event(await store.sources.of('s'), acknowledged - 1)).number,
      acknowledged - 1,
      'reads continue'
    )
    rmSync(hog)
    while (store.readOnlyMode.why !== undefined) await new Promise((resolve) => setImmediate(resolve))
    const { events } = await append()
    t.ok((events[0]?.number ?? 0) >= acknowledged, 'appends continue after the acknowledged events')
    await store.close()
    const report = await checkDirectory(directory)
    t.same(report.disagreements, [])
    t.ok(report.events > acknowledged)
  }
)

/** Writes a file that takes all remaining space. */
function fillUp(path: string): void {
  const file = openSync(path, 'w')
  try {
    for (let size = MEGABYTE; size >= 1; ) {
      try {
        writeSync(file, Buffer.alloc(size))
      } catch {
        size /= 16
      }
    }
  } finally {
    closeSync(file)
  }
}
