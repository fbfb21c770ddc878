/** Counts work, since no test may measure time: look-ups in maps and sets, and records whose tags are decoded. */
import type { Test } from 'tap'
import { StoredRecord } from '../../src/log/format.js'

export interface CountedWork {
  /** Look-ups in maps and sets. */
  lookups: number
  /** Records whose tags were decoded. */
  decoded: number
}

/** Counts until the test ends. A test may reset the counters to 0. */
export function countWork(t: Test): CountedWork {
  const counted = { lookups: 0, decoded: 0 }
  const prototypes = [Map.prototype, Set.prototype] as { has: (key: unknown) => boolean }[]
  for (const prototype of prototypes) {
    const { has } = prototype
    prototype.has = function (key) {
      counted.lookups++
      return has.call(this, key)
    }
    t.teardown(() => Object.assign(prototype, { has }))
  }
  const { get } = Map.prototype
  Map.prototype.get = function (key) {
    counted.lookups++
    return get.call(this, key)
  }
  const tags = Object.getOwnPropertyDescriptor(StoredRecord.prototype, 'tags') as PropertyDescriptor
  Object.defineProperty(StoredRecord.prototype, 'tags', {
    configurable: true,
    get(this: StoredRecord) {
      counted.decoded++
      return tags.get?.call(this)
    }
  })
  t.teardown(() => {
    Map.prototype.get = get
    Object.defineProperty(StoredRecord.prototype, 'tags', tags)
  })
  return counted
}
