/**
 * A history of events to read: a real one if this machine has it, otherwise a generated one with equally awkward names.
 */
import { existsSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { nameBasedId } from '../../src/streams/name-based-id.js'
import { projectFile } from './project.js'

export const HISTORY_FILE = projectFile('../shared/data/fastify-history.ndjson.gz')
export const hasHistory = existsSync(HISTORY_FILE)

export interface HistoryLine {
  stream: string
  type: string
  id: string
  data: unknown
}

export function historyLines(): HistoryLine[] {
  if (!hasHistory) return Array.from({ length: 4000 }, (_, i) => generated(i))
  const text = gunzipSync(readFileSync(HISTORY_FILE)).toString()
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as HistoryLine)
}

function generated(i: number): HistoryLine {
  const id = nameBasedId(Buffer.alloc(16), String(i))
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  const path = ['package.json', 'fastify.js', 'docs/Über uns.md', 'test/a%b&<c>.js', `lib/${i % 300}.js`][i % 5]
  if (i % 50 === 0) return { stream: `release-${i}`, type: 'ReleaseTagged', id, data: { tag: `v${i}` } }
  return { stream: `file-${path}`, type: i < 500 ? 'FileAdded' : 'FileChanged', id, data: { path, i } }
}
