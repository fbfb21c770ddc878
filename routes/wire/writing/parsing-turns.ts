/** Large bodies are parsed in several turns of the event loop, so that other requests are answered meanwhile. */

import { nextTurn } from '../../../src/time/turns.js'

/** Bytes that are parsed in one turn, and the event that ends them. */
export const TURN_BYTES = 1024 * 1024

/**
 * Runs a parser to its end: a small body at once, a large one in turns.
 * @param bytes of the body
 * @param steps yields after each event how many bytes were read
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
