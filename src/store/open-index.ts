/** Opens the index of a log: as it is on disk, or rebuilt if it is unusable, and brought up to the log's end. */
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
  /** `none` keeps no index streams. Undefined: those of the directory, or all in a new directory. */
  readonly runProjections?: 'none' | 'system' | 'all'
  /** Undefined: the rule of the directory, or the default rule in a new directory. */
  readonly categoryRule?: CategoryRule
  /** Undefined: the sizes of the default memory budget. */
  readonly caches?: CacheSizes
  /** Rebuilds the index from the log. */
  readonly rebuildIndex?: boolean
}

/** Lists that decide about access, by name prefix. The index counts these lists, so that a missing one is detected. */
const COUNTED: readonly ListName[] = [
  [family.stream, '$$'],
  [family.stream, USER_STREAMS],
  [family.tombstone, '']
]

/** The context of an opening of the index. */
interface IndexOpening {
  /** Abort it to end the opening with its reason. */
  readonly signal: AbortSignal
  /** Receives a sentence for the operator when the index is rebuilt. */
  readonly notices: string[]
}

/**
 * Opens the index of a log. Rebuilds it when it is damaged, belongs to another log, or is ahead of the log. Keeps an
 * index that cannot be opened for another reason, because a rebuild may take hours.
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
  if (log.head >= 0) notices.push('the index cannot be used as it is and is rebuilt from the log')
  removeIndex(directory)
  const again = { ...opening, rules: { ...before?.rules, ...rules } }
  const rebuilt = await Postings.open(again, kept ?? before?.kept, log)
  if (rebuilt === undefined) throw new Error('an index that was rebuilt cannot be used')
  return rebuilt
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
 * Brings an index up to the log's end and loads its in-memory parts.
 * @param progress called after each batch with the number of events read and of all events to read. An error it throws
 * ends the call; the next start continues from what is written
 * @returns also why the index could not be written: the disk is full, but the unwritten part fits into memory
 * @throws `index-damaged`, or the error of a failed write
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
 * Reads the lists of the server's own streams, to find damage now. They are needed once the store is open, when a
 * damaged index can no longer be rebuilt.
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
