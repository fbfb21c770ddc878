/**
 * What is left of LevelDB's own recovery: it deletes the write-ahead log it replayed, damaged or not, and says so only
 * in its LOG file. Hard links keep the old files until our own scan has passed.
 */
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const EVIDENCE = 'evidence'
const REFUSED = 'REFUSED'
const WITNESS = 'witness'

/** Links LevelDB's write-ahead logs of `directory` aside before it is opened. Costs no space until they are replayed. */
export function preserveEvidence(directory: string): void {
  if (!existsSync(directory)) return
  const aside = join(directory, EVIDENCE)
  for (const name of readdirSync(directory).filter((file) => file.endsWith('.log'))) {
    try {
      mkdirSync(aside, { recursive: true })
      if (!existsSync(join(aside, name))) linkSync(join(directory, name), join(aside, name))
    } catch {
      return // a file system without hard links: the scan still works, only the evidence is not kept
    }
  }
}

/**
 * Notes down why a start was refused. LevelDB has replayed what it could by then, and the next opening would find
 * nothing wrong. The witness is put beside it: an operator who removes the evidence accepts the loss, and the log, which then
 * has no witness, goes on under a new identity.
 * @param root the data directory @param directory that of the log
 */
export function noteRefusal(root: string, directory: string, reason: string): void {
  mkdirSync(join(directory, EVIDENCE), { recursive: true })
  // Before the witness: without this file a log that has lost its witness would open.
  writeFileSync(join(directory, EVIDENCE, REFUSED), reason)
  const witness = join(root, WITNESS)
  if (existsSync(witness)) renameSync(witness, join(directory, EVIDENCE, WITNESS))
}

/** Where the witness stands: among the evidence when the last start was refused. */
export function witnessPath(root: string, directory: string): string {
  const kept = join(directory, EVIDENCE, WITNESS)
  return existsSync(kept) ? kept : join(root, WITNESS)
}

/** Why the last start was refused; undefined when it was not, or when an operator has removed the evidence. */
export function earlierRefusal(directory: string): string | undefined {
  const path = join(directory, EVIDENCE, REFUSED)
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

/** Forgets the links: everything in those files was found whole in the database. */
export function discardEvidence(directory: string): void {
  rmSync(join(directory, EVIDENCE), { recursive: true, force: true })
}

/** LevelDB's own words about bytes its last opening dropped, undefined when it dropped none. */
export function droppedByLevelDb(directory: string): string | undefined {
  const path = join(directory, 'LOG')
  if (!existsSync(path)) return undefined
  const line = readFileSync(path, 'latin1')
    .split('\n')
    .find((text) => /dropping \d+ bytes|ignoring error|Corruption/i.test(text))
  return line?.replace(/^\S+ \S+ /, '')
}
