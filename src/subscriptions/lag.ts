import type { Viewer } from '../access/viewer.js'
import type { Reader } from '../reading/reader.js'
import type { Address } from '../reading/sources.js'
import type { Clock } from '../time/clock.js'

/** How far a cursor is behind the end of its source. */
export interface Lag {
  /** Events after the cursor, whether a filter matches them or not. */
  readonly events: number
  /** Age of the first of them; 0 when there is none. */
  readonly seconds: number
}

export interface LagParts {
  readonly reader: Reader
  readonly clock: Clock
}

/**
 * The lag of a cursor in the source at an address. An index stream that lists nothing for the viewer has no events.
 * @param viewer undefined: one who sees everything
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
