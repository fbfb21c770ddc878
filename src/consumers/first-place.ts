import type { Checkpoint, SavedPlace } from '../dispatch/places.js'
import type { ConsumerDefinition } from './consumer-definition.js'

/**
 * Returns the checkpoint of a consumer when it is loaded: the saved one, or the start of the definition when there is
 * none or it belongs to another definition of this name.
 * @param defined position of the event that defines the consumer
 * @param now in milliseconds since 1970
 */
export function firstPlace(
  { start, generation }: ConsumerDefinition,
  defined: number,
  saved: SavedPlace | undefined,
  now: number
): Checkpoint {
  if (saved === undefined) return { cursor: start, generation, active: now, defined }
  const { validUpTo, ...place } = saved
  // A checkpoint of format 1 does not record its definition.
  const isOfThisDefinition = place.defined === undefined || (place.defined === defined && defined <= validUpTo)
  if (isOfThisDefinition) return { ...place, defined }
  const reason = 'it belonged to a later definition of this name, which the log has lost'
  const moved = { from: place.cursor, to: start, reason, at: now }
  return { cursor: start, generation: place.generation + 1, active: place.active, defined, moved }
}
