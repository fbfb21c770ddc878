/** Loads that read events of the maximum size and read every byte of the response. */
import { exchangeAtOnce } from './hostile-client.js'
import type { HostileLoad } from './hostile-load.js'
import { LARGE_EVENTS } from './hostile-stores.js'

export const ATOM = 'application/vnd.eventstore.atom+json'
export const NDJSON = 'application/x-ndjson'

/** Accepts the outcome if some requests were answered, and the others refused as overload. */
const ANSWERED = /^(\d+ × 503, )?\d+ × 200(, \d+ × 503)?$/

/** A number of similar requests at once. @param make returns the path of the i-th */
function reads(times: number, path: string | ((i: number) => string), accept?: string): HostileLoad {
  const pathOf = typeof path === 'string' ? () => path : path
  const form = { [ATOM]: ', Atom', [NDJSON]: ', NDJSON' }[accept ?? ''] ?? ''
  return {
    what: `${times} × GET ${pathOf(0)}${form}`,
    content: 'large',
    attack: ({ url }) => exchangeAtOnce(url, times, (i) => ({ path: pathOf(i), headers: { accept: accept ?? '*/*' } })),
    isRight: (outcome) => ANSWERED.test(outcome)
  }
}

export const largeReads = {
  page: reads(1, '/streams/big?limit=100'),
  pages: reads(8, '/streams/big?limit=100'),
  nothing: reads(8, '/events?type.regex=Nothing'),
  'ndjson-first': reads(8, '/streams/big?limit=1', NDJSON),
  'one-event': reads(50, '/events?from=19&limit=1'),
  'by-number': reads(50, (i) => `/streams/big/${i % LARGE_EVENTS}`),
  atom: reads(10, '/streams/big?embed=body', ATOM),
  'ndjson-whole': reads(8, '/streams/big', NDJSON)
} satisfies Record<string, HostileLoad>
