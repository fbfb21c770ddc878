/** docs/security.md says what a caller can cost at most: with the limits that count, and the shares as they are. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { limits } from '../src/limits.js'
import { MemoryBudget } from '../src/memory/memory-budget.js'
import { MemoryShare } from '../src/memory/memory-share.js'
import { StillClock } from './helpers/clock.js'
import { root } from './helpers/project.js'

/** What a number in the text is multiplied by to have the unit of a limit that ends so. */
const UNITS: Readonly<Record<string, readonly [number, RegExp]>> = {
  KiB: [1024, /_bytes(_|$)/],
  MiB: [1024 * 1024, /_bytes(_|$)/],
  s: [1000, /_ms(_|$)/]
}

const document = readFileSync(join(root, 'docs', 'security.md'), 'utf8')
const section = /^## What a caller can cost\n(.*?)^## /ms.exec(document)?.[1] ?? ''

/** A number as the section shows it, in the unit of the limit; undefined when its unit is another one. */
function amountOf(name: string, digits: string, unit: string | undefined): number | undefined {
  const number = Number(digits.replaceAll(',', ''))
  if (unit === undefined || (unit === 's' && /_seconds(_|$)/.test(name))) return number
  const [factor, names] = UNITS[unit] as readonly [number, RegExp]
  return names.test(name) ? number * factor : undefined
}

t.test('every limit that is named stands there with its value', async (t) => {
  const shown = [...section.matchAll(/`([a-z_]+_[a-z_]+)`(?: \(([\d,]+)(?: (KiB|MiB|s))?\))?/g)]
  t.ok(shown.length > 30, 'the limits were found')
  for (const [text, name = '', digits, unit] of shown) {
    const limit: unknown = (limits as Record<string, unknown>)[name]
    if (limit === undefined) t.fail(`${name} is no limit`)
    else if (digits === undefined) t.fail(`${text} stands without its value, ${limit}`)
    else t.equal(amountOf(name, digits, unit), limit, text)
  }
})

t.test('the shares of the default budget are those of the table', async (t) => {
  const budget = new MemoryBudget(new StillClock())
  const rows = [...section.matchAll(/^\| ([a-z ]+?) +\| (\d+) MiB +\|/gm)].map(([, name, size]) => [name, Number(size)])
  const megabytes = (bytes: number) => bytes / (1024 * 1024)
  const shares = Object.values(budget).filter((part) => part instanceof MemoryShare)
  const requests = shares.reduce((sum, share) => sum + share.bytes, 0)
  t.same(rows, [
    ['caches', megabytes(budget.bytes - requests)],
    ...shares.map(({ name, bytes }) => [name, megabytes(bytes)])
  ])
})
