/** Loads whose filters cost the most processor time that an expression may cost. */
import { setTimeout as sleep } from 'node:timers/promises'
import { exchange, exchangeAtOnce } from './hostile-client.js'
import type { HostileLoad } from './hostile-load.js'

/** The most expensive first; the first one that the server accepts is used. */
const EXPRESSIONS = [
  ...[5, 4, 3, 2, 1].map((times) => `${'((.?){100}){10}'.repeat(times)}[^a-z0-9]$`),
  '((\\pL?\\d?){100}){5}[^a-z0-9]$',
  '((.?){100}){5}[^a-z0-9]$',
  '((.?){50}){5}[^a-z0-9]$',
  '(.?){100}[^a-z0-9]$',
  '(.?){50}[^a-z0-9]$',
  '(.?){20}[^a-z0-9]$',
  '.?.?.?.?.?.?.?.?[^a-z0-9]$'
]

function filteredBy(expression: string): string {
  return `/events?limit=10&stream.regex=${encodeURIComponent(expression)}`
}

/** The status of a request that is refused before anything is read, because the expression is compiled first. */
async function accepts(url: string, expression: string): Promise<boolean> {
  const { status } = await exchange(url, { path: `${filteredBy(expression)}&from=end` })
  return status === 200
}

async function costliest(url: string): Promise<string> {
  for (const expression of EXPRESSIONS) if (await accepts(url, expression)) return expression
  return '.'
}

const leaving: HostileLoad = {
  what: 'an expression of 1,000 copies over 17,000 streams, the client leaves after 1 s',
  content: 'names',
  attack: async ({ url }) => {
    const { status } = await exchange(url, { path: filteredBy('((.?){100}){10}[^a-z0-9]$'), leaves: 1000 })
    await sleep(2000)
    return `${status}`
  }
}

const costly: HostileLoad = {
  what: '8 × the costliest expression that is accepted, over 17,000 streams',
  content: 'names',
  prepare: costliest,
  attack: async ({ url, prepared }) =>
    `${prepared} ${await exchangeAtOnce(url, 8, () => ({ path: filteredBy(prepared) }))}`
}

export const costlyExpressions = { 'expression-left': leaving, expressions: costly } satisfies Record<
  string,
  HostileLoad
>
