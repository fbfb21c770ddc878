/** The section "What a caller can cost" of docs/security.md shows the current limits and memory shares. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { limits } from '../src/limits.js'
import { MemoryBudget } from '../src/memory/memory-budget.js'
import { MemoryShare } from '../src/memory/memory-share.js'
import { StillClock } from './helpers/clock.js'
import { root } from './helpers/project.js'

/** Per unit in the text: the factor to the unit of the limit, and the ending of the names of such limits. */
const UNITS: Readonly<Record<string, readonly [number, RegExp]>> = {
  KiB: [1024, /_bytes(_|$)/],
  MiB: [1024 * 1024, /_bytes(_|$)/],
  s: [1000, /_ms(_|$)/]
}

const document = readFileSync(join(root, 'docs', 'security.md'), 'utf8')
const section = /^## What a caller can cost\n(.*?)^## /ms.exec(document)?.[1] ?? ''

/** Converts a number in the text to the unit of the limit. Undefined if the units do not match. */
function amountOf(name: string, digits: string, unit: string | undefined): number | undefined {
  const number = Number(digits.replaceAll(',', ''))
  if (unit === undefined || (unit === 's' && /_seconds(_|$)/.test(name))) return number
  const [factor, names] = UNITS[unit] as readonly [number, RegExp]
  return names.test(name) ? number * factor : undefined
}

t.test('every limit named in the section is shown with its current value', async (t) => {
  const shown = [...section.matchAll(/`([a-z_]+_[a-z_]+)`(?: \(([\d,]+)(?: (KiB|MiB|s))?\))?/g)]
  t.ok(shown.length > 30, 'the limits were found')
  for (const [text, name = '', digits, unit] of shown) {
    const limit: unknown = (limits as Record<string, unknown>)[name]
    if (limit === undefined) t.fail(`${name} is not a limit`)
    else if (digits === undefined) t.fail(`${text} is shown without its value, ${limit}`)
    else t.equal(amountOf(name, digits, unit), limit, text)
  }
})

t.test('the table shows the memory shares of the default budget', async (t) => {
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
