/** Parses large bodies in several turns of the event loop, so that other requests are not blocked meanwhile. */

import { nextTurn } from '../../../src/time/turns.js'

/** Bytes to parse per turn. A turn ends with the event that reaches this number. */
export const TURN_BYTES = 1024 * 1024

/**
 * Runs a parser to its end. A small body is parsed at once. A large one is parsed in several turns of the event loop,
 * and the function returns a promise.
 * @param bytes size of the body
 * @param steps the parser; it yields the number of bytes read so far after each event
 */
export function parseInTurns<T>(bytes: number, steps: Generator<number, T>): T | Promise<T> {
  return bytes > TURN_BYTES ? inTurns(steps) : atOnce(steps)
}

function atOnce<T>(steps: Generator<number, T>): T {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}

async function inTurns<T>(steps: Generator<number, T>): Promise<T> {
  let begun = 0
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
    if (value - begun < TURN_BYTES) continue
    begun = value
    await nextTurn()
  }
}
