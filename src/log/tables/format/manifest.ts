/**
 * LevelDB's file MANIFEST, which lists the tables of a database with their sizes and key ranges. It is a journal of
 * changes in blocks of 32 KiB. A block contains records or parts of records: masked CRC-32C, length, kind of the part,
 * bytes.
 */
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32c, maskCrc } from './crc32c.js'
import { readVarint } from './varint.js'

const BLOCK_BYTES = 32 * 1024
const HEADER_BYTES = 7
/** Kinds of parts. 1: a complete record; 2: the first part of a record; 3: a middle part; 4: the last part. */
const FULL = 1
const MIDDLE = 3
const LAST = 4

/** The fields after each kind of change. n: a number; b: bytes after their length. Numbers and lengths are varints. */
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

/** A table in the manifest. */
export interface KnownTable {
  readonly number: number
  /** Size of the file. */
  readonly bytes: number
  /** Internal key of the first entry. */
  readonly first: Buffer
  /** Internal key of the last entry. */
  readonly last: Buffer
}

export interface Manifest {
  readonly tables: ReadonlyMap<number, KnownTable>
  readonly lastSequence: number
}

/**
 * Reads the manifest of a database.
 * @returns undefined when it is missing or damaged; LevelDB cannot open the database then either
 * @throws an error of the file system, except for a missing file
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
 * Yields the records of a journal, each as a copy. Skips an incomplete record at the end, since LevelDB may be writing
 * it. Yields undefined for a damaged record, and ends.
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
