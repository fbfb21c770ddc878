/** Copies events into a log with the positions, numbers and times that they had in another log. */
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
  /** Line number in the imported file, for error messages. */
  readonly line: number
}

/**
 * Appends events with their original positions, numbers and times. There must be no other writer meanwhile.
 * @throws DaybookError `import-refused` when a position or number is not the next one, or `created` goes back in time;
 * then nothing of this call is written
 */
export async function transcribe(
  { log, postings, poster }: { log: Log; postings: Postings; poster: Poster },
  events: readonly TranscribedEvent[]
): Promise<void> {
  await postings.load(events.map(({ event }) => [family.stream, event.stream] as const))
  const heads = new Map<string, number>()
  let position = log.head
  let created = log.lastCreated
  for (const imported of events) {
    const { stream } = imported.event
    const head = heads.get(stream) ?? (postings.headInMemory(family.stream, stream)?.count ?? 0) - 1
    if (imported.position !== position + 1)
      refuseImport(imported, `has position ${imported.position}, but the event before it has position ${position}`)
    if (imported.number !== head + 1)
      refuseImport(imported, `has number ${imported.number} in "${stream}", but ${head + 1} is next`)
    if (imported.created < created) refuseImport(imported, 'has a "created" before that of the previous event')
    heads.set(stream, imported.number)
    position = imported.position
    created = imported.created
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
  throw new DaybookError('import-refused', `line ${line} ${why}; this line and those after it were not written`, {
    line
  })
}
