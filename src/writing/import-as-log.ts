/** Copies events into an empty log with the places and times they had in another. Nobody else may be writing. */
import { DaybookError } from '../errors.js'
import { applyAll } from '../index/apply-batch.js'
import type { Poster } from '../index/index-entries.js'
import type { Postings } from '../index/posting-lists.js'
import { family, StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import type { NewEvent } from '../streams/new-event.js'

export interface TranscribedEvent {
  readonly event: NewEvent
  readonly position: number
  readonly number: number
  /** Milliseconds. */
  readonly created: number
  /** Where it stood, for messages. */
  readonly line: number
}

/** @throws `import-refused` when a position, a number or `created` does not follow on what is there */
export async function transcribe(
  { log, postings, poster }: { log: Log; postings: Postings; poster: Poster },
  events: readonly TranscribedEvent[]
): Promise<void> {
  await postings.load(events.map(({ event }) => [family.stream, event.stream] as const))
  const heads = new Map<string, number>()
  let position = log.head
  let created = log.lastCreated
  for (const one of events) {
    const { stream } = one.event
    const head = heads.get(stream) ?? (postings.headInMemory(family.stream, stream)?.count ?? 0) - 1
    if (one.position !== position + 1)
      refuseImport(one, `has position ${one.position}, but the one before it has ${position}`)
    if (one.number !== head + 1) refuseImport(one, `has number ${one.number} in "${stream}", but ${head + 1} is next`)
    if (one.created < created) refuseImport(one, 'has a created before that of the line before it')
    heads.set(stream, one.number)
    position = one.position
    created = one.created
  }
  await log.commit(
    events,
    events.map((event) => event.created)
  )
  const records = events.map(({ event, position: at }) => new StoredRecord(at, event.record.bytes))
  await applyAll(
    postings,
    records.map((record) => poster.postingOf(record))
  )
  if (postings.congested) await postings.flush()
}

function refuseImport({ line }: TranscribedEvent, why: string): never {
  throw new DaybookError('import-refused', `line ${line} ${why}; nothing from it on was written`, { line })
}
