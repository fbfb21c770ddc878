/**
 * Evidence of damage in LevelDB's write-ahead logs. When LevelDB opens a database, it replays its write-ahead logs and
 * deletes them, damaged or not, and reports dropped records only in its file LOG. Hard links in the folder `evidence`
 * keep these files until the start has verified the records.
 */
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const EVIDENCE = 'evidence'
const REFUSED = 'REFUSED'
const WITNESS = 'witness'

/**
 * Links LevelDB's write-ahead logs to the folder `evidence`. Must be called before the database is opened. The links
 * take no disk space until LevelDB deletes the originals.
 * @param directory of the log
 */
export function preserveEvidence(directory: string): void {
  if (!existsSync(directory)) return
  const aside = join(directory, EVIDENCE)
  for (const name of readdirSync(directory).filter((file) => file.endsWith('.log'))) {
    try {
      mkdirSync(aside, { recursive: true })
      if (!existsSync(join(aside, name))) linkSync(join(directory, name), join(aside, name))
    } catch {
      return // The file system has no hard links. The start still verifies the records, but keeps no evidence.
    }
  }
}

/**
 * Saves the reason of a refused start in the file `evidence/REFUSED`. By then LevelDB has replayed what it could, so
 * the next start would find nothing wrong. Also moves the witness into `evidence`: an operator who removes that folder
 * accepts the loss, and the log, now without a witness, continues under a new identity.
 * @param root the data directory
 * @param directory of the log
 */
export function noteRefusal(root: string, directory: string, reason: string): void {
  mkdirSync(join(directory, EVIDENCE), { recursive: true })
  // This file comes before the move of the witness: a log without its witness would open if this file were missing.
  writeFileSync(join(directory, EVIDENCE, REFUSED), reason)
  const witness = join(root, WITNESS)
  if (existsSync(witness)) renameSync(witness, join(directory, EVIDENCE, WITNESS))
}

/** Returns the path of the witness, which is in the folder `evidence` after a refused start. */
export function witnessPath(root: string, directory: string): string {
  const kept = join(directory, EVIDENCE, WITNESS)
  return existsSync(kept) ? kept : join(root, WITNESS)
}

/** Returns why the last start was refused; undefined if it was not, or if an operator has removed the evidence. */
export function earlierRefusal(directory: string): string | undefined {
  const path = join(directory, EVIDENCE, REFUSED)
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

/**
 * Removes the folder `evidence`. To be called when all records of the write-ahead logs are verified in the database.
 */
export function discardEvidence(directory: string): void {
  rmSync(join(directory, EVIDENCE), { recursive: true, force: true })
}

/** Returns the line of LevelDB's file LOG about data that its last opening dropped; undefined when it dropped none. */
export function droppedByLevelDb(directory: string): string | undefined {
  const path = join(directory, 'LOG')
  if (!existsSync(path)) return undefined
  const line = readFileSync(path, 'latin1')
    .split('\n')
    .find((text) => /dropping \d+ bytes|ignoring error|Corruption/i.test(text))
  return line?.replace(/^\S+ \S+ /, '')
}
