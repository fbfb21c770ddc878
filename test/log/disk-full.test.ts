import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { encodeEvent } from '../helpers/events.js'

const MEGABYTE = 1024 * 1024

/** A file system of 160 MB in memory; undefined where that is not allowed. */
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
  'a full disk stops appends and not reads, loses nothing acknowledged, and ends by itself',
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
    t.equal(refusal.code, 'storage-failed')
    await t.rejects(append(), { code: 'read-only' })
    t.equal(
      (await store.reader.event(await store.sources.of('s'), acknowledged - 1)).number,
      acknowledged - 1,
      'reads go on'
    )
    rmSync(hog)
    while (store.readOnlyMode.why !== undefined) await new Promise((resolve) => setImmediate(resolve))
    const { events } = await append()
    t.ok((events[0]?.number ?? 0) >= acknowledged, 'appends go on after what was there')
    await store.close()
    const report = await checkDirectory(directory)
    t.same(report.disagreements, [])
    t.ok(report.events > acknowledged)
  }
)
