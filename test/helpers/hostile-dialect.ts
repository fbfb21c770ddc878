/** Hostile requests in the Atom dialect (addresses, headers, media types, bodies), and conditions on events. */
import {
  bytesOf,
  CURSORS,
  goodStream,
  HEADER_VALUES,
  headerText,
  hostileText,
  hostileValue,
  json,
  list,
  mutateBytes,
  NAMES_OF_OBJECTS,
  type RequestParts,
  urlText,
  wellFormed
} from './hostile-pieces.js'
import type { Random } from './random.js'

/** Reads feeds and entries at valid and almost valid addresses, with known and unknown media types. */
export function dialectRead(random: Random): RequestParts {
  const number = () => urlText(random.chance(0.6) ? String(random.int(0, 30)) : random.pick(NUMBERS))
  const direction = random.chance(0.9) ? random.pick(['forward', 'backward']) : random.pick(['sideways', 'Forward', ''])
  const from = random.chance(0.3) ? 'head' : number()
  const count = random.chance(0.7) ? String(random.int(1, 50)) : number()
  const root = `/streams/${random.pick(NAMES)}${random.chance(0.2) ? '/metadata' : ''}${random.chance(0.1) ? '/filtered' : ''}`
  const path = random.pick([
    root,
    `${root}/${number()}`,
    `${root}/${from}/${count}`,
    `${root}/${from}/${direction}/${count}`,
    `${root}/${from}/${direction}/${count}`,
    `${root}/${from}/${direction}/${count}/${number()}`
  ])
  const query = list(random, 0, 3, () => {
    const name = random.pick(Object.keys(PARAMETERS))
    const value = random.chance(0.8) ? random.pick(PARAMETERS[name] as string[]) : hostileText(random)
    return `${name}=${encodeURIComponent(wellFormed(value))}`
  })
  const headers: Record<string, string> = {}
  if (random.chance(0.7)) headers.accept = acceptOf(random)
  if (random.chance(0.3)) addDialectHeader(random, headers)
  if (random.chance(0.1))
    headers['if-none-match'] = random.pick(['0;1', '"0;1"', '"99999999999999999999;1"', '";"', 'x'])
  const method = random.chance(0.95) ? 'GET' : random.pick(['HEAD', 'POST', 'PUT', 'DELETE'] as const)
  return { method, url: `${path}${query.length === 0 ? '' : '?'}${query.join('&')}`, headers }
}

/** Appends with bodies, types and headers of the dialect, some of which fit together. */
export function dialectAppend(random: Random): RequestParts {
  const xml = random.chance(0.4)
  const good = xml ? Buffer.from(goodXml(random)) : bytesOf(list(random, 1, 3, () => dialectEvent(random)))
  const type = random.chance(0.8)
    ? `application/vnd.eventstore.events+${xml ? 'xml' : 'json'}`
    : random.pick([...TYPES, ...HEADER_VALUES])
  const headers: Record<string, string> = { 'content-type': type }
  for (let i = random.int(0, 3); i > 0; i--) addDialectHeader(random, headers)
  if (random.chance(0.2)) headers.accept = acceptOf(random)
  const url = random.chance(0.8)
    ? `/streams/${goodStream(random)}`
    : `/streams/${goodStream(random)}/incoming/${random.pick([random.uuid(), `{${random.uuid()}}`, 'x', '0', '%00'])}`
  return { method: 'POST', url, headers, payload: random.chance(0.5) ? good : mutateBytes(random, good) }
}

/** XML that is more than a list of events: deep, wide, malformed, or with entities. */
export function xmlBomb(random: Random): RequestParts {
  const n = random.pick([10, 127, 129, 5000, 60_000])
  const inner = random.pick([
    () => '<data><a>1</a></data>',
    () => `<data>${'<a>'.repeat(n)}${'</a>'.repeat(n)}</data>`,
    () => `<data>${'<a b="/>">'.repeat(n)}${'</a>'.repeat(n)}</data>`,
    () => `<data>${'<a>'.repeat(n)}</data>`,
    () => `<data>${'<a/>'.repeat(n)}</data>`,
    () => `<data ${Array.from({ length: n }, (_, i) => `a${i}="1"`).join(' ')}/>`,
    () => `<data>${'&amp;'.repeat(n)}</data>`,
    () => '<data>&lol9;</data>',
    () => '<data>&#0;&#x1F;&#xD800;&#x110000;&#99999999999;</data>',
    () => `<data><![CDATA[${']]'.repeat(n)}</data>`,
    () => `<data><!--${'--'.repeat(n)}--></data>`,
    () => `<data>${'<?pi ?>'.repeat(n)}</data>`,
    () => `<data xmlns:a="${'u'.repeat(n)}"><a:__proto__>1</a:__proto__></data>`,
    () => `<data><${random.pick([...NAMES_OF_OBJECTS, '1', '-', ':', 'a:b:c', 'é'])}>1</x></data>`,
    () => `<data>${'</data>'.repeat(n)}`
  ])()
  const before = random.pick([
    '',
    '',
    '<?xml version="1.0"?>',
    '<?xml version="1.0" encoding="UTF-16"?>',
    '\ufeff',
    ENTITIES,
    '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
    '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://localhost:1/x"> %p;]>',
    '<!dOcTyPe a [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
  ])
  const event = `<event><eventId>${random.uuid()}</eventId><eventType>T</eventType>${inner}</event>`
  const payload = Buffer.from(`${before}<events>${event}</events>`, random.chance(0.95) ? 'utf8' : 'utf16le')
  const type = random.pick(['application/vnd.eventstore.events+xml', 'application/vnd.eventstore.event+xml'])
  return {
    method: 'POST',
    url: `/streams/${goodStream(random)}`,
    headers: { 'content-type': type },
    payload: random.chance(0.8) ? payload : mutateBytes(random, payload)
  }
}

/** Writes metadata with every method: invalid documents, patches of any kind, and some valid ones. */
export function metadataWrite(random: Random): RequestParts {
  const dialect = random.chance(0.5)
  const names = dialect ? STORED_KEYS : READABLE_KEYS
  const document: Record<string, unknown> = {}
  for (let i = random.int(0, 3); i > 0; i--) {
    const key = random.chance(0.9) ? random.pick(names) : hostileText(random)
    const value = random.pick([
      () => random.int(1, 40),
      () => random.pick(['9223372036854775807', '1e3', '0']),
      () => hostileValue(random, 0),
      () => ({ $r: random.pick(['$all', ['a', '$admins'], 5, [], [[]]]), read: ['a'], $x: 1 })
    ])()
    Object.defineProperty(document, key, { value, enumerable: true, configurable: true })
  }
  const body = random.chance(0.9) ? document : hostileValue(random, 0)
  const payload = random.chance(0.8) ? bytesOf(body) : mutateBytes(random, bytesOf(body))
  const stream = random.chance(0.9) ? `gone-${random.int(0, 50)}` : random.pick(NAMES)
  const url = `/streams/${stream}/metadata`
  if (!dialect) {
    const method = random.pick(['PUT', 'PATCH'] as const)
    const type = random.chance(0.9) ? 'application/json' : random.pick(['application/merge-patch+json', 'text/plain'])
    return { method, url, headers: { 'content-type': type }, payload }
  }
  const headers: Record<string, string> = { ...json(), 'es-eventid': random.uuid() }
  if (random.chance(0.4)) addDialectHeader(random, headers)
  const direct = random.chance(0.3)
  if (direct) headers['es-eventtype'] = '$metadata'
  return { method: 'POST', url: direct ? `/streams/$$${stream}` : url, headers, payload }
}

/** Deletes under conditions that hold, do not hold, or are invalid. */
export function hostileDelete(random: Random): RequestParts {
  const headers: Record<string, string> = {}
  for (let i = random.int(0, 2); i > 0; i--) addDialectHeader(random, headers)
  if (random.chance(0.3)) headers['if-match'] = random.pick(HEADER_VALUES)
  const url = `/streams/${random.chance(0.8) ? `gone-${random.int(0, 200)}` : random.pick(NAMES_GUARDED)}`
  const query = random.chance(0.6) ? '' : `?permanent=${random.pick(['true', 'false', 'yes', '1', ''])}`
  return { method: 'DELETE', url: url + query, headers }
}

/** Appends to the streams that `hostileDelete` deletes, also permanently. */
export function appendToDelete(random: Random): RequestParts {
  const url = `/streams/gone-${random.int(0, 200)}`
  return {
    method: 'POST',
    url,
    headers: json(),
    payload: bytesOf({ type: random.pick(['T', 'T', '', 'x'.repeat(300)]) })
  }
}

/** Conditions with many clauses, few of which make sense. */
export function matchConditions(random: Random): RequestParts {
  const item = () => {
    if (random.chance(0.1)) return hostileValue(random, 0)
    const few = random.chance(0.95) ? random.int(0, 3) : random.pick([32, 33, 100, 101])
    return {
      ...(random.chance(0.5) && { types: list(random, 0, few, () => random.pick(['T', 'never', 'größe'])) }),
      ...(random.chance(0.7) && { tags: Array.from({ length: few }, () => `t:${random.int(0, 40)}`) }),
      ...(random.chance(0.03) && { [hostileText(random)]: 1 })
    }
  }
  const clause = () => ({
    failIfEventsMatch: random.chance(0.95)
      ? { items: random.chance(0.95) ? list(random, 0, 3, item) : hostileValue(random, 0) }
      : hostileValue(random, 0),
    ...(random.chance(0.5) && { after: random.pick([0, -1, 10, 10_000, 1e300, 1.5, null, '0']) })
  })
  const conditions = random.chance(0.9)
    ? list(random, 1, 4, clause)
    : Array(random.pick([999, 1000, 1001, 5000])).fill({
        failIfEventsMatch: { items: [{ types: ['never'], tags: ['t:1'] }] },
        after: 1_000_000
      })
  const events = [{ stream: goodStream(random), type: 'Decided', tags: [`t:${random.int(0, 40)}`] }]
  return { method: 'POST', url: '/events', headers: json(), payload: bytesOf({ events, conditions }) }
}

// ------------------------------------------------------------------------------------------------ pieces

function addDialectHeader(random: Random, headers: Record<string, string>): void {
  const name = random.pick(Object.keys(DIALECT_HEADERS))
  const known = DIALECT_HEADERS[name] as readonly string[]
  const value = random.chance(0.8) ? random.pick(known) : headerText(random)
  // No random value for a long poll: the request would wait that long.
  if (name !== 'longpoll') headers[`${random.pick(['es', 'kurrent'])}-${name}`] = value
  else headers['es-longpoll'] = random.pick(known)
}

function acceptOf(random: Random): string {
  const one = () => random.pick(random.chance(0.8) ? TYPES : HEADER_VALUES)
  const quality = () => (random.chance(0.2) ? `;q=${random.pick(['0', '0.5', '1', '2', '-1', 'x', ''])}` : '')
  return list(random, 1, 3, () => `${one()}${quality()}`).join(random.pick([',', ', ', ' ,']))
}

function dialectEvent(random: Random): Record<string, unknown> {
  const value = () => (random.chance(0.5) ? { a: random.int(0, 9), b: ['é', null] } : hostileValue(random, 0))
  const event: Record<string, unknown> = {
    eventId: random.chance(0.9) ? random.uuid() : hostileValue(random, 0),
    eventType: random.chance(0.9) ? 'T' : hostileValue(random, 0)
  }
  if (random.chance(0.8)) event.data = value()
  if (random.chance(0.4)) event.metadata = value()
  if (random.chance(0.1)) event[hostileText(random)] = value()
  return event
}

function goodXml(random: Random): string {
  const events = list(random, 1, 3, () => {
    const data = random.pick(['<a>1</a>', '<a b="c"/>', 'text', '', '<é>&lt;</é>', '<a/><a/>', '<![CDATA[x]]>'])
    return `<event><eventId>${random.uuid()}</eventId><eventType>T</eventType><data>${data}</data></event>`
  })
  return `<events>${events.join('')}</events>`
}

const NUMBERS = [...CURSORS, 'head', 'last', '4096', '4097', '2147483648', '9223372036854775807', '9223372036854775808',
  '18446744073709551616', '1,000', '007', '+1', '%20', '0-0', '1_1', '99999999999999999999999', '1/1'] // biome-ignore format: a table

const NAMES_GUARDED = ['$all', '$streams', '$ce-s', '$$s-1', '$et-T', '%24%24%24%24a', '$ops']

const NAMES = [...NAMES_GUARDED, 's-1', 's-2', 's-3', 'gone-1', 'gone-2', 'never', '$bc-c-1', '$category-s', '$$never', '$$$all',
  '$projections-$all', '', '%', 'é', '%00', 'a%2Fb'] // biome-ignore format: a table

const TYPES = [
  'application/vnd.eventstore.atom+json', 'application/vnd.eventstore.events+json', 'application/vnd.eventstore.event+json',
  'application/vnd.eventstore.events+xml', 'application/vnd.eventstore.event+xml', 'application/vnd.eventstore.streamdesc+json',
  'application/vnd.kurrent.atom+json', 'application/atom+xml', 'application/xml', 'text/xml', 'application/json', 'text/html',
  'application/octet-stream', 'text/*', 'application/*', '*/*', '*/xml', 'application/vnd.eventstore.nothing+json'
] // biome-ignore format: a table

const PARAMETERS: Record<string, string[]> = {
  embed: ['none', 'content', 'rich', 'body', 'pretty', 'tryharder', 'PrettyBody', '', 'nonsense'],
  format: ['json', 'xml', 'atom', 'atomxj', 'text', 'atomsvc', '../../etc/passwd', 'toString', '__proto__', ''],
  context: ['eventType', 'streamId', 'EVENTTYPE', 'nonsense'],
  type: ['prefix', 'regex', 'x'],
  data: ['T', '(a+)+$', '[', 's-,T', ''],
  'exclude-system-events': ['', 'true']
}

const DIALECT_HEADERS: Record<string, readonly string[]> = {
  expectedversion: [
    '-1',
    '-2',
    '-4',
    '0',
    '3',
    '-3',
    '-5',
    '1e3',
    '9223372036854775807',
    '9223372036854775808',
    'any',
    '+1'
  ],
  eventtype: ['T', '$metadata', '$>', 'x'.repeat(5000), 'Ã¼'],
  eventid: ['5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11', '00000000-0000-0000-0000-000000000000', 'x', '{}', '()'],
  harddelete: ['true', 'false', 'TRUE', '1', 'yes'],
  resolvelinktos: ['true', 'false', 'x'],
  requireleader: ['true', 'false', 'x'],
  requiremaster: ['true', 'false', 'x'],
  longpoll: ['0', '-1', 'x', '1.5', '99999999999']
}

const STORED_KEYS = ['$maxAge', '$maxCount', '$tb', '$cacheControl', '$acl', 'own', '$own', '__proto__']
const READABLE_KEYS = ['maxAge', 'maxCount', 'truncateBefore', 'cacheControl', 'access', 'own', '$own', '__proto__']

const ENTITIES = `<!DOCTYPE lolz [<!ENTITY lol "lol">${Array.from(
  { length: 9 },
  (_, i) => `<!ENTITY lol${i + 1} "${`&lol${i === 0 ? '' : i};`.repeat(10)}">`
).join('')}]>`
