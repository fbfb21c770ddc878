/** Opens the index of a log: as it is on disk, brought up to the log's end, or made anew where it cannot serve. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { catchUp } from '../index/catch-up.js'
import { Poster } from '../index/index-entries.js'
import type { ListName } from '../index/posting.js'
import { Postings } from '../index/posting-lists.js'
import { kindsOf } from '../index/postings/kept-families.js'
import { readIndexSettings } from '../index/storage/index-store.js'
import { StreamStates } from '../index/stream-states.js'
import { limits } from '../limits.js'
import { family } from '../log/format.js'
import type { Log } from '../log/log.js'
import { isDiskFull, openFailure } from '../log/storage-faults.js'
import type { CacheSizes } from '../memory/cache-sizes.js'
import { type CategoryRule, defaultCategoryRule, parseCategoryRule } from '../streams/names.js'
import { USER_STREAMS } from '../users/account.js'

export interface IndexOptions {
  readonly directory: string
  readonly compression?: boolean
  /** `none` keeps no index streams. Undefined: those that the directory has, or all in a new one. */
  readonly runProjections?: 'none' | 'system' | 'all'
  /** Undefined: as the directory has it, or the default in a new one. */
  readonly categoryRule?: CategoryRule
  /** Undefined: those of the usual memory budget. */
  readonly caches?: CacheSizes
  /** Makes the index anew from the log. */
  readonly rebuildIndex?: boolean
}

/** Lists that decide who may do what: none of them may be hidden. */
const COUNTED: readonly ListName[] = [
  [family.stream, '$$'],
  [family.stream, USER_STREAMS],
  [family.tombstone, '']
]

/** What accompanies the opening of an index. */
interface IndexOpening {
  /** Aborted: the opening ends with its reason. */
  readonly signal: AbortSignal
  /** Gets a sentence for the operator when the index is made anew. */
  readonly notices: string[]
}

/**
 * The index of this log, made anew when what is there is damaged, of another log, or ahead of the log. An index that cannot
 * be opened for another reason is kept: making it anew may take hours.
 * @throws `directory-in-use`, `directory-unusable`, `storage-failed`; the signal's reason
 */
export async function openPostings(
  log: Log,
  options: IndexOptions,
  { signal, notices }: IndexOpening
): Promise<Postings> {
  const { directory, compression = false, categoryRule, runProjections, rebuildIndex = false, caches } = options
  const rule = categoryRule && `${categoryRule.at}:${categoryRule.separator}`
  const rules = rule === undefined ? undefined : { [family.category]: rule, [family.categoryStreams]: rule }
  const opening = { directory, compression, rules, counted: COUNTED, caches, signal }
  const kept = runProjections && kindsOf[runProjections]
  const found = rebuildIndex ? undefined : await Postings.open(opening, kept, log)
  if (found !== undefined) return found
  const before = await readIndexSettings(directory, compression)
  if (log.head >= 0) notices.push('the index could not serve as it was, and is made anew from the log')
  removeIndex(directory)
  const again = { ...opening, rules: { ...before?.rules, ...rules } }
  const made = await Postings.open(again, kept ?? before?.kept, log)
  if (made === undefined) throw new Error('a new index cannot serve')
  return made
}

/** @throws `directory-unusable` */
function removeIndex(directory: string): void {
  try {
    rmSync(join(directory, 'index'), { recursive: true, force: true })
  } catch (cause) {
    throw openFailure('the index', cause)
  }
}

/**
 * Brings an index up to the log's end, and loads what is kept of it in memory.
 * @param progress called after each batch with the events that were read, and those that are to be read; what it throws is
 * thrown, and the next start goes on from what is written
 * @returns also why the index could not be written: the disk is full, and what is not written fits into memory
 * @throws `index-damaged` when that is found out; what a write failed with
 */
export async function bringUpIndex(
  log: Log,
  postings: Postings,
  { streamStates }: Pick<CacheSizes, 'streamStates'>,
  progress: (done: number, of: number) => void
): Promise<{ poster: Poster; states: StreamStates; indexNotWritten: Error | undefined }> {
  const rule = postings.ruleOf(family.category)
  const poster = new Poster(log, rule ? parseCategoryRule(rule) : defaultCategoryRule)
  const indexNotWritten = await catchUp(log, postings, poster, progress).then(
    () => undefined,
    (error: Error) => {
      const behind = log.head - postings.goodTo
      const isComplete = postings.appliedTo === log.head && behind <= limits.index_behind_events_max
      if (isComplete && isDiskFull(error)) return error
      throw error
    }
  )
  const states = new StreamStates(log, postings, streamStates)
  await states.load()
  await readOwnStreams(postings)
  return { poster, states, indexNotWritten }
}

/**
 * Reads the lists of the server's own streams. They are needed when the store is open, and then a damaged index can no
 * longer be made anew.
 * @throws `index-damaged`
 */
async function readOwnStreams(postings: Postings): Promise<void> {
  const names = ['$settings', '$consumers', '$tokens']
  for await (const { name } of postings.all(family.stream, USER_STREAMS)) names.push(name)
  for (const name of names) {
    const head = await postings.head(family.stream, name)
    if (head !== undefined) await postings.positions(family.stream, head, 0, head.count)
  }
}
