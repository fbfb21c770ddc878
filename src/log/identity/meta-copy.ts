/**
 * A copy of the log's meta, in a file beside the database. The meta is a single entry in a single table. Without it,
 * the records could not be told from those of another log.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { decodeLogMeta, type LogMeta } from '../format.js'

const FILE = 'META'

/** Returns the copy; undefined when it is missing or damaged. @param directory of the log */
export function readMetaCopy(directory: string): LogMeta | undefined {
  try {
    return decodeLogMeta(readFileSync(join(directory, FILE)))
  } catch {
    return undefined
  }
}

/**
 * Writes and syncs the copy if it differs. If that fails, the old copy stays and no error is thrown.
 * @param directory of the log
 * @param bytes the meta as stored in the database
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
