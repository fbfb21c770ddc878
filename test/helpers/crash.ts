/** Directories as a crash leaves them: nothing closed, nothing flushed. */
import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Store, type StoreOptions } from '../../src/store/store.js'
import { encodeEvent } from './events.js'

/** Appends `count` events one by one, and copies the directory while the store is open. @returns the copy */
export async function crashedDirectory(
  directory: string,
  count: number,
  options: Partial<StoreOptions> & { stream?: (i: number) => string } = {}
): Promise<string> {
  const live = join(directory, 'live')
  const crashed = join(directory, 'crashed')
  const store = await new Store({ ...options, directory: live }).open()
  for (let i = 0; i < count; i++) {
    const stream = options.stream?.(i) ?? `s-${i % 3}`
    await store.writer.append({ events: [encodeEvent(stream, { data: { i } })], conditions: [], kind: 'append' })
  }
  cpSync(live, crashed, { recursive: true })
  await store.close()
  return crashed
}

/** Returns the largest file in a folder whose name has this ending. */
export function largest(folder: string, ending: string): string {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name))
    .sort((one, other) => statSync(other).size - statSync(one).size)
  if (files[0] === undefined) throw new Error(`no ${ending} in ${folder}: ${readdirSync(folder)}`)
  return files[0]
}

/** Flips one bit. @param at offset in the file, or a share of its length below 1 */
export function flipBit(file: string, at: number): void {
  const bytes = readFileSync(file)
  const offset = at < 1 ? Math.floor(bytes.length * at) : at
  bytes[offset] = (bytes[offset] as number) ^ 1
  writeFileSync(file, bytes)
}
