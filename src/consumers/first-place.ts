import type { Checkpoint, SavedPlace } from '../dispatch/places.js'
import type { ConsumerDefinition } from './consumer-definition.js'

/**
 * The place of a consumer when it is loaded.
 * @param defined position of the event that defines it
 * @param now milliseconds since 1970
 */
export function firstPlace(
  { start, generation }: ConsumerDefinition,
  defined: number,
  saved: SavedPlace | undefined,
  now: number
): Checkpoint {
  if (saved === undefined) return { cursor: start, generation, active: now, defined }
  const { validUpTo, ...place } = saved
  // Format 1 does not say which definition a place belongs to.
  const isOfThis = place.defined === undefined || (place.defined === defined && defined <= validUpTo)
  if (isOfThis) return { ...place, defined }
  const reason = 'it belonged to a later definition of this name, which the log has lost'
  const moved = { from: place.cursor, to: start, reason, at: now }
  return { cursor: start, generation: place.generation + 1, active: place.active, defined, moved }
}
