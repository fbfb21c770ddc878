/** Compares a response with a recorded one, after replacing the values that vary between runs on both sides. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Exchange } from './recorder.js'

type Response = Exchange['response']

/** The headers that clients depend on. */
const HEADERS = [
  'content-type',
  'location',
  'etag',
  'cache-control',
  'vary',
  'es-currentversion',
  'www-authenticate',
  'access-control-allow-origin',
  'access-control-allow-methods'
]

/** Members with internals of the original, which clients do not need. */
const INNER = new Set(['msgTypeId', 'label', '$v', '$c', '$p', '$o', '$causedBy'])

/** Returns the differences from the recorded response, one line each; empty when there are none. */
export function differences(recorded: Response, got: Response, path: string): string[] {
  const found: string[] = []
  if (recorded.status !== got.status) found.push(`status ${got.status}, not ${recorded.status}`)
  if (recorded.reason !== got.reason) found.push(`reason "${got.reason}", not "${recorded.reason}"`)
  for (const name of HEADERS) found.push(...headerDifference(name, recorded.headers, got.headers, path))
  const want = parse(recorded.body)
  if (typeof want === 'object' && want !== null) {
    found.push(...valueDifferences(want, parse(got.body), 'body'))
  } else if (settleXml(recorded.body) !== settleXml(got.body)) {
    found.push(`body ${settleXml(got.body).slice(0, 300)}, not ${settleXml(recorded.body).slice(0, 300)}`)
  }
  return found
}

function headerDifference(name: string, want: IncomingHttpHeaders, got: IncomingHttpHeaders, path: string): string[] {
  const [one, other] = [want[name], got[name]].map((value) => settleHeader(name, value, path))
  if (one === undefined || one === other) return []
  // Some paths support more methods than in the original.
  const methods = name === 'access-control-allow-methods' && one.split(', ').every((method) => other?.includes(method))
  return methods ? [] : [`${name} "${other}", not "${one}"`]
}

function settleHeader(name: string, value: string | string[] | undefined, path: string): string | undefined {
  if (value === undefined) return undefined
  const text = String(value)
  if (name === 'access-control-allow-methods' || name === 'vary') return text.split(/,\s*/).sort().join(', ')
  if (name === 'etag' && path.includes('all/')) return 'a position'
  return settle(text)
}

function* valueDifferences(want: unknown, got: unknown, at: string): Generator<string> {
  // Each server chooses its own link metadata, and its own hashes in tags.
  if (at.endsWith('.linkMetaData') || (at.endsWith('.eTag') && want && got)) return
  if (typeof want === 'string' && typeof got === 'string') {
    const [one, other] = [parse(want), parse(got)]
    const documents = typeof one === 'object' && one !== null && typeof other === 'object' && other !== null
    // Compare the content of a string of JSON, not its layout.
    if (documents) yield* valueDifferences(one, other, at)
    else if (settle(want) !== settle(got)) yield `${at} ${got.slice(0, 160)}, not ${want.slice(0, 160)}`
  } else if (Array.isArray(want) && Array.isArray(got)) {
    if (want.length !== got.length) yield `${at} has ${got.length} items, not ${want.length}`
    for (const [i, one] of want.entries()) if (i < got.length) yield* valueDifferences(one, got[i], `${at}[${i}]`)
  } else if (isObject(want) && isObject(got)) {
    for (const [name, one] of Object.entries(want)) {
      if (INNER.has(name)) continue
      if (name in got) yield* valueDifferences(one, got[name], `${at}.${name}`)
      else if (one !== null) yield `${at}.${name} is missing`
    }
  } else if (want !== got) yield `${at} ${JSON.stringify(got)}, not ${JSON.stringify(want)}`
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Replaces times, generated ids, hashes of tags and positions of the log. */
function settle(text: string): string {
  return text
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)/g, 'a time')
    .replace(/(?!00000000-aaaa)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, 'an id')
    .replace(/"?(-?\d+);-?\d+"?/g, '$1;hash')
    .replace(/[0-9A-F]{32}/gi, 'a position')
    .replaceAll('%24', '$')
}

function settleXml(text: string): string {
  return settle(text)
    .replace(/>\s+</g, '><')
    .replace(/\s*\/>/g, '/>')
    .trim()
}
