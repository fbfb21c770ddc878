/**
 * Loaded before each test file. tap's `t.match` (and the patterns of `t.rejects` and `t.throws`) compares only as many
 * elements of an array as the pattern has, so that the pattern `[]` matches every array. With this module an array matches
 * only a pattern of the same length. Objects may still have more members than their pattern.
 */
import { Match } from 'tcompare'

/** Finds a getter that tcompare's classes inherit. */
function inheritedGetter(owner: object, name: string): () => unknown {
  for (let one: object | null = owner; one !== null; one = Object.getPrototypeOf(one)) {
    const getter = Object.getOwnPropertyDescriptor(one, name)?.get
    if (getter !== undefined) return getter
  }
  throw new Error(`tcompare has no ${name} any more`)
}

// `Has` cuts the array to the length of the pattern; its parent `Same` does not.
const whole = inheritedGetter(Object.getPrototypeOf(Object.getPrototypeOf(Match.prototype)), 'objectAsArray')
Object.defineProperty(Match.prototype, 'objectAsArray', { configurable: true, get: whole })
