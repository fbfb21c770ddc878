/** Runs the rows of the reference's tables as tests. A row has a request and the expected response. */
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { openApp } from '../helpers/app.js'

/** The promise, the request, the expected status line, and further expectations. */
export type Row = [promise: string, request: InjectOptions, answer: string, shows?: Shows]

export interface Shows {
  /** Expected headers; undefined for an absent one. */
  headers?: Record<string, string | RegExp | undefined>
  body?: string | RegExp
  /** Expected members of a JSON body, by path: `links.0.uri`. */
  json?: Record<string, unknown>
  page?: Page
}

/** A feed page: the numbers of its entries, and the last parts of its links. */
export interface Page {
  entries: number[]
  head: boolean
  last?: string
  next?: string
  previous?: string
}

/** Makes one test of a section. Sends its rows in order: a row may depend on earlier ones. */
export function section(
  name: string,
  prepare: (app: FastifyInstance) => Promise<unknown>,
  rows: readonly Row[],
  options = {}
) {
  t.test(name, async (t) => {
    const { app } = await openApp(t, options)
    await prepare(app)
    for (const [promise, request, answer, shows = {}] of rows) {
      const got = await app.inject(request)
      t.strictSame(seen(got, shows), { answer, ...shows }, `${name}: ${promise}: ${answer}`)
    }
  })
}

/** Returns the parts of a response that a row checks. A value that matches an expected pattern becomes the pattern. */
export function seen(got: LightMyRequestResponse, { headers, body, json, page }: Shows) {
  const fit = (value: unknown, wanted: unknown) =>
    wanted instanceof RegExp && typeof value === 'string' && wanted.test(value) ? wanted : value
  const each = (wanted: object, of: (name: string) => unknown) =>
    Object.fromEntries(Object.entries(wanted).map(([name, one]) => [name, fit(of(name), one)]))
  return {
    answer: `${got.statusCode} ${got.statusMessage}`,
    ...(headers && { headers: each(headers, (name) => got.headers[name]) }),
    ...(body !== undefined && { body: fit(got.body, body) }),
    ...(json && { json: each(json, (path) => member(got.body, path)) }),
    ...(page && { page: pageOf(got.body) })
  }
}

export function member(body: string, path: string): unknown {
  const within = (value: unknown, name: string) => (value as Record<string, unknown> | null | undefined)?.[name]
  return path.split('.').reduce(within, body.startsWith('{') ? JSON.parse(body) : undefined)
}

interface FeedBody {
  headOfStream: boolean
  links: { relation: string; uri: string }[]
  entries: { positionEventNumber: number }[]
}

function pageOf(body: string): Page {
  const { headOfStream, links, entries } = JSON.parse(body) as FeedBody
  const ends = links
    .filter(({ relation }) => relation === 'last' || relation === 'next' || relation === 'previous')
    .map(({ relation, uri }) => [relation, uri.replace(/^.*\/streams\/[^/]+\//, '')])
  return {
    entries: entries.map(({ positionEventNumber }) => positionEventNumber),
    head: headOfStream,
    ...Object.fromEntries(ends)
  }
}
