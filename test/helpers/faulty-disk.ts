/**
 * A disk on which a test makes single calls fail. Every call of a store in this process to its databases, the witness
 * or the ballast passes through it. A call can fail before or after it is done: a batch whose write failed may be on
 * disk nevertheless.
 */
import { basename } from 'node:path'
import type { Test } from 'tap'
import { DaybookError } from '../../src/errors.js'
import { Ballast } from '../../src/log/ballast.js'
import { Level } from '../../src/log/level.js'
import { Witness } from '../../src/log/recovery/witness.js'

export type Failure = 'before' | 'after'

/**
 * Decides about one call, by its name (`log open`, `log writeSynced`, `index getMany`, `witness write` …). Undefined:
 * the call is done.
 */
export type Fault = (call: string) => Failure | undefined

export interface FaultyDisk {
  /** The system's message for a write that fails. Default: the disk is full. A read always fails with an I/O error. */
  says: string
  /** Undefined: every call is done. */
  fault: Fault | undefined
  /** Called with the name of each call before it is decided. The call waits for the promise that this returns. */
  onCall: (call: string) => Promise<void> | undefined
}

type Method = (...args: never[]) => unknown

/** Replaces methods of the classes until the test ends. Of the checkpoints' database only the opening can fail. */
export function faultyDisk(t: Test): FaultyDisk {
  const disk: FaultyDisk = { says: 'No space left on device', fault: undefined, onCall: () => undefined }
  const failed = (name: string) => failureOf(name, disk.says)
  const names = new WeakMap<object, string>()
  const decide = async (call: string): Promise<Failure | undefined> => {
    const held = disk.onCall(call)
    if (held !== undefined) await held
    return disk.fault?.(call)
  }
  const { open } = Level
  replace(t, Level, 'open', async (directory: string, options: never) => {
    const name = basename(directory)
    if ((await decide(`${name} open`)) !== undefined) throw failed('open')
    const level = await open.call(Level, directory, options)
    if (name !== 'checkpoints') names.set(level, name)
    return level
  })
  for (const name of ['getMany', 'write', 'writeSynced', 'reopen'] as const) {
    const real = Level.prototype[name] as Method
    replace(t, Level.prototype, name, async function (this: Level, ...args: never[]) {
      const database = names.get(this)
      const failure = database === undefined ? undefined : await decide(`${database} ${name}`)
      if (failure === 'before') throw failed(name)
      const result = await real.apply(this, args)
      if (failure === 'after') throw failed(name)
      return result
    })
  }
  const { entries } = Level.prototype
  replace(t, Level.prototype, 'entries', async function* (this: Level, range: never) {
    const database = names.get(this)
    const failure = database === undefined ? undefined : await decide(`${database} entries`)
    if (failure === 'before') throw failed('entries')
    yield* entries.call(this, range)
    if (failure === 'after') throw failed('entries')
  })
  const { write, writeSynced } = Witness.prototype
  replace(t, Witness.prototype, 'writeSynced', function (this: Witness, testimony: never) {
    if (disk.fault?.('witness sync') !== undefined) throw failed('witness')
    writeSynced.call(this, testimony)
  })
  replace(t, Witness.prototype, 'write', function (this: Witness, testimony: never) {
    const failure = disk.fault?.('witness write')
    if (failure === 'before') throw failed('witness')
    write.call(this, testimony)
    if (failure === 'after') throw failed('witness')
  })
  const { freeBytes } = Ballast.prototype
  replace(t, Ballast.prototype, 'freeBytes', async function (this: Ballast) {
    if ((await decide('ballast freeBytes')) !== undefined) throw failed('statfs')
    return freeBytes.call(this)
  })
  return disk
}

function replace(t: Test, owner: object, name: string, method: Method | ((...args: never[]) => unknown)): void {
  const before = (owner as Record<string, unknown>)[name]
  Object.assign(owner, { [name]: method })
  t.teardown(() => Object.assign(owner, { [name]: before }))
}

/** Returns the error that the real call would throw. */
function failureOf(name: string, says: string): Error {
  if (name === 'getMany' || name === 'entries') {
    return new DaybookError('storage-failed', 'IO error: Input/output error')
  }
  const message = `IO error: ${says}`
  if (name === 'reopen' || name === 'open') return new DaybookError('directory-unusable', message)
  return name === 'witness' ? new DaybookError('storage-failed', message) : new Error(message)
}
