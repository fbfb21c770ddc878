/**
 * LevelDB's MANIFEST: which tables make up a database, how large they are and what keys they hold. A journal of changes,
 * in blocks of 32 KiB that hold records or parts of them: masked CRC-32C, length, kind of part, bytes.
 */
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32c, maskCrc } from './crc32c.js'
import { readVarint } from './varint.js'

const BLOCK_BYTES = 32 * 1024
const HEADER_BYTES = 7
/** A record in one part, and the last two of the kinds 2 to 4: the first, a middle and the last part of a record. */
const FULL = 1
const MIDDLE = 3
const LAST = 4

/** The kinds of change, and what follows each: numbers, or bytes behind their length. */
const CHANGES: Readonly<Record<number, string>> = {
  1: 'b', // the name of the comparator
  2: 'n', // the number of the write-ahead log
  3: 'n', // the next number for a file
  4: 'n', // the last sequence number
  5: 'nb', // a level, and where its next compaction begins
  6: 'nn', // a level, and a table that is removed from it
  7: 'nnnbb', // a level, and a table that is added to it: number, size, first and last key
  9: 'n' // the number of an older write-ahead log
}
const LAST_SEQUENCE = 4
const REMOVED = 6
const ADDED = 7

/** A table as the database knows it. */
export interface KnownTable {
  readonly number: number
  readonly bytes: number
  /** Internal keys. */
  readonly first: Buffer
  readonly last: Buffer
}

export interface Manifest {
  readonly tables: ReadonlyMap<number, KnownTable>
  readonly lastSequence: number
}

/**
 * @param directory of the database
 * @returns undefined when there is none, or when it cannot be read whole: then LevelDB cannot open the database either
 * @throws what the file system throws, other than for a file that is not there
 */
export async function readManifest(directory: string): Promise<Manifest | undefined> {
  const tables = new Map<number, KnownTable>()
  let lastSequence = 0
  try {
    const name = (await readFile(join(directory, 'CURRENT'), 'latin1')).trim()
    if (!/^MANIFEST-\d+$/.test(name)) return undefined
    for await (const record of journalRecords(join(directory, name))) {
      const changes = record && changesOf(record)
      if (changes === undefined) return undefined
      for (const { kind, values } of changes) {
        if (kind === REMOVED) tables.delete(values[1] as number)
        else if (kind === LAST_SEQUENCE) lastSequence = values[0] as number
      }
      for (const { kind, values } of changes) if (kind === ADDED) addTable(tables, values)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  return { tables, lastSequence }
}

interface Change {
  readonly kind: number
  readonly values: readonly (number | Buffer)[]
}

function addTable(tables: Map<number, KnownTable>, values: readonly (number | Buffer)[]): void {
  const [, number, bytes, first, last] = values as [number, number, number, Buffer, Buffer]
  tables.set(number, { number, bytes, first, last })
}

function changesOf(record: Buffer): Change[] | undefined {
  const changes: Change[] = []
  for (let at = 0; at < record.length; ) {
    const kind = readVarint(record, at, record.length)
    const parts = kind && CHANGES[kind.value]
    if (parts === undefined) return undefined
    at = (kind as { end: number }).end
    const values: (number | Buffer)[] = []
    for (const part of parts) {
      const number = readVarint(record, at, record.length)
      if (number === undefined) return undefined
      at = number.end
      if (part === 'b') {
        if (at + number.value > record.length) return undefined
        values.push(record.subarray(at, at + number.value))
        at += number.value
      } else values.push(number.value)
    }
    changes.push({ kind: (kind as { value: number }).value, values })
  }
  return changes
}

/**
 * The records of a journal, each a copy. What the end cuts short is left out, since LevelDB may be writing there.
 * @returns undefined for a record that is damaged, and then nothing more
 */
async function* journalRecords(path: string): AsyncGenerator<Buffer | undefined> {
  const file = await open(path, 'r')
  try {
    const block = Buffer.alloc(BLOCK_BYTES)
    let parts: Buffer[] = []
    for (let offset = 0; ; offset += BLOCK_BYTES) {
      const { bytesRead } = await file.read(block, 0, BLOCK_BYTES, offset)
      for (let at = 0; at + HEADER_BYTES <= bytesRead; ) {
        const length = block.readUInt16LE(at + 4)
        const kind = block[at + 6] as number
        const end = at + HEADER_BYTES + length
        if (end > bytesRead && bytesRead < BLOCK_BYTES) return
        const isWhole = end <= bytesRead && block.readUInt32LE(at) === maskCrc(crc32c(block, at + 6, end))
        const goesOn = parts.length > 0
        if (!isWhole || kind < FULL || kind > LAST || goesOn !== (kind === MIDDLE || kind === LAST)) {
          yield undefined
          return
        }
        parts.push(Buffer.from(block.subarray(at + HEADER_BYTES, end)))
        if (kind === FULL || kind === LAST) {
          yield Buffer.concat(parts)
          parts = []
        }
        at = end
      }
      if (bytesRead < BLOCK_BYTES) return
    }
  } finally {
    await file.close()
  }
}
