/** Checks the checkpoints of consumers: each must be undamaged, and none may be ahead of the log. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { decodeCheckpoint, type StoredCheckpoint } from '../log/format.js'
import { Level } from '../log/level.js'
import type { Log } from '../log/log.js'
import { isDatabaseDamaged } from '../log/storage-faults.js'
import type { Findings } from './findings.js'

const OPTIONS = { writeBufferSize: 512 * 1024, cacheSize: 256 * 1024, compression: false }

/**
 * Checks all checkpoints of a data directory that no process has open.
 * @param root the data directory
 * @param log undefined: the log cannot be read, and the checkpoints are not compared with it
 */
export async function checkCheckpoints(root: string, log: Log | undefined, findings: Findings): Promise<void> {
  const directory = join(root, 'checkpoints')
  if (!existsSync(directory)) return
  let level: Level | undefined
  try {
    level = await Level.open(directory, OPTIONS)
    for await (const { key, value } of level.entries({})) {
      const checkpoint = decodeCheckpoint(key, value)
      if (checkpoint === undefined) {
        const detail = `the checkpoint of ${nameOf(key)} is damaged: its checksum is wrong`
        findings.add({ code: 'checkpoint-damaged', detail })
      } else if (log !== undefined) expectInLog(nameOf(key), checkpoint, log, findings)
    }
  } catch (error) {
    if (!isDatabaseDamaged(error)) throw error
    findings.add({ code: 'checkpoints-unusable', detail: (error as Error).message })
  } finally {
    await level?.close()
  }
}

function expectInLog(name: string, { log: id, head = -1 }: StoredCheckpoint, log: Log, findings: Findings): void {
  if (id !== log.id || head <= log.head) return
  findings.add({
    code: 'checkpoint-ahead',
    detail: `the checkpoint of ${name} was saved when the log ended at position ${head}, but now it ends at ${log.head}`
  })
}

/** Returns the name in a key, quoted, without the byte of its kind. */
function nameOf(key: Buffer): string {
  return JSON.stringify(key.subarray((key[0] as number) < 0x20 ? 1 : 0).toString())
}
