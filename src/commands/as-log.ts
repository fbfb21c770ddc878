/** `daybook import --as-log`: makes an empty directory the same log as the one that was exported. */
import { parseLine } from '../../routes/wire/event-body.js'
import type { Receipt } from '../../schemas/append.js'
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { Store } from '../store.js'
import type { NewEvent } from '../streams/planning-view.js'
import { type TranscribedEvent, transcribe } from '../streams/transcribe.js'

/**
 * Positions, numbers, ids and `created` stay what the lines say.
 * @throws `import-refused` when the directory holds events, or a line does not follow on the one before it
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
      `--as-log needs an empty directory; this one holds ${store.log.head + 1} events`
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
  for await (const bytes of lines) {
    number++
    let event: TranscribedEvent | undefined
    try {
      event = readLine(bytes, number, store.clock.now())
    } catch (error) {
      await write()
      throw error
    }
    if (event !== undefined) events.push(event)
    if (events.length >= batch) await write()
  }
  await write()
}

function readLine(bytes: Buffer, line: number, now: number): TranscribedEvent | undefined {
  const event: NewEvent | undefined = parseLine(bytes, line, 0, { stream: undefined, asPrinted: true })
  if (event === undefined) return undefined
  const { position, number, created } = JSON.parse(bytes.toString()) as Record<string, unknown>
  const instant = typeof created === 'string' ? Date.parse(created) : Number.NaN
  if (!Number.isSafeInteger(position) || !Number.isSafeInteger(number) || Number.isNaN(instant)) {
    throw new DaybookError(
      'import-refused',
      `line ${line}: --as-log needs position, number and created, as an export has them`,
      { line }
    )
  }
  if (instant > now + limits.clock_ahead_ms_max) {
    throw new DaybookError('import-refused', `line ${line}: created lies in the future (${created})`, { line })
  }
  return { event, position: position as number, number: number as number, created: instant, line }
}
