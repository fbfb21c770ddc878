/**
 * A copy of the log's meta beside the database: the meta is one entry of one table, and without it no record could be
 * told from those of another log.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { decodeLogMeta, type LogMeta } from '../format.js'

const FILE = 'META'

/** @param directory of the log @returns undefined when there is none, or it is damaged */
export function readMetaCopy(directory: string): LogMeta | undefined {
  try {
    return decodeLogMeta(readFileSync(join(directory, FILE)))
  } catch {
    return undefined
  }
}

/**
 * Writes the copy where it differs, and syncs it. Where that fails, the one that is there stays.
 * @param bytes as they stand in the database
 */
export function writeMetaCopy(directory: string, bytes: Buffer): void {
  const path = join(directory, FILE)
  try {
    if (readFileSync(path).equals(bytes)) return
  } catch {}
  try {
    const file = openSync(`${path}.new`, 'w')
    try {
      writeSync(file, bytes)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(`${path}.new`, path)
  } catch {}
}
