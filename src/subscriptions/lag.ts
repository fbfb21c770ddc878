import type { Viewer } from '../access/viewer.js'
import type { Reader } from '../reading/reader.js'
import type { Address } from '../reading/sources.js'
import type { Clock } from '../time/clock.js'

/** How far a cursor is behind the end of its source. */
export interface Lag {
  /** Number of events after the cursor, matching the filter or not. */
  readonly events: number
  /** Age of the first of these events, seconds; 0 when there are none. */
  readonly seconds: number
}

export interface LagParts {
  readonly reader: Reader
  readonly clock: Clock
}

/**
 * Returns the lag of a cursor. An index stream that lists no event for the viewer counts as empty.
 * @param viewer undefined sees everything
 * @throws `stream-deleted`, `index-switched-off`
 */
export async function lagOf(
  { reader, clock }: LagParts,
  { address, viewer }: { readonly address: Address; readonly viewer: Viewer | undefined },
  cursor: number
): Promise<Lag> {
  const source = await reader.visible.toFollow(address, viewer)
  const events = Math.max(0, source.head - cursor)
  const created = events === 0 ? undefined : await reader.sources.createdAt(source, cursor + 1)
  return { events, seconds: created === undefined ? 0 : Math.max(0, (clock.now() - created) / 1000) }
}
