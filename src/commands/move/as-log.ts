/** `daybook import --as-log`: recreates an exported log in an empty directory. */
import { parseLine } from '../../../routes/wire/writing/event-body.js'
import type { Receipt } from '../../../schemas/append.js'
import { DaybookError } from '../../errors.js'
import { limits } from '../../limits.js'
import { positionKey, type RecordMark, StoredRecord, sealRecord } from '../../log/format.js'
import type { Store } from '../../store/store.js'
import type { NewEvent } from '../../streams/new-event.js'
import { type TranscribedEvent, transcribe } from '../../writing/import-as-log.js'
import { counted } from '../wording.js'

/**
 * Writes each line with `record` as exactly the record that it was printed from, also for a removed event. A line
 * without `record` (from an older export) keeps its position, number, id and `created`. Lines before an invalid one are
 * written.
 * @throws DaybookError `import-refused` if the directory holds events, a line does not follow the line before it, or a
 *   line does not match its `record`; `invalid-event` and similar codes, naming the line
 */
export async function importAsLog(
  store: Store,
  lines: AsyncIterable<Buffer>,
  batch: number,
  say: (receipt: Receipt) => Promise<void>
): Promise<void> {
  if (store.log.head >= 0) {
    throw new DaybookError(
      'import-refused',
      `--as-log needs an empty directory, but this one holds ${counted(store.log.head + 1, 'event')}; name another with --db`
    )
  }
  let events: TranscribedEvent[] = []
  let number = 0
  const write = async () => {
    if (events.length === 0) return
    const transcribed = events
    await store.writer.inTurn(() => transcribe(store, transcribed))
    await say({ receipt: { lines: number, appended: events.length, replayed: 0, position: store.log.head } })
    events = []
  }
  try {
    for await (const bytes of lines) {
      number++
      const event = readLine(bytes, number, store.clock.now())
      if (event !== undefined) events.push(event)
      if (events.length >= batch) await write()
    }
  } catch (error) {
    await write() // the lines before the invalid one
    throw error
  }
  await write()
}

function readLine(bytes: Buffer, line: number, now: number): TranscribedEvent | undefined {
  const options = { stream: undefined, asPrinted: true, asRecorded: true }
  const event: NewEvent | undefined = parseLine(bytes, line, 0, options)
  if (event === undefined) return undefined
  const { position, number, created, record } = JSON.parse(bytes.toString()) as Record<string, unknown>
  const instant = typeof created === 'string' ? Date.parse(created) : Number.NaN
  if (!Number.isSafeInteger(position) || !Number.isSafeInteger(number) || Number.isNaN(instant)) {
    throw new DaybookError(
      'import-refused',
      `line ${line}: --as-log needs the members position, number and created, as export writes them`,
      { line }
    )
  }
  if (instant > now + limits.clock_ahead_ms_max) {
    throw new DaybookError('import-refused', `line ${line}: created is in the future (${created})`, { line })
  }
  const place = { position: position as number, number: number as number, created: instant }
  if (record !== undefined) checkRecord(event, place, record as RecordMark, line)
  return { event, ...place, line }
}

/** A placeholder identity: lines of an export have ids, so no id is derived from the log's identity. */
const NO_LOG = Buffer.alloc(16)

/** @throws DaybookError `import-refused` if the event does not encode to the record that the line describes */
function checkRecord(
  { record }: NewEvent,
  { position, ...place }: { position: number; number: number; created: number },
  mark: RecordMark,
  line: number
): void {
  const { crc, flags } = new StoredRecord(position, sealRecord(record, positionKey(position), place, NO_LOG)).mark
  if (crc === mark.crc && flags === mark.flags) return
  const differs = flags === mark.flags ? `checksum is ${crc}, not ${mark.crc}` : `flags are ${flags}, not ${mark.flags}`
  throw new DaybookError('import-refused', `line ${line} does not match its "record": the ${differs}`, { line })
}
