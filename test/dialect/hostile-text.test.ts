/** Names and data with unusual characters: XML responses are complete or get a 406, and links work. */
import { DOMParser } from '@xmldom/xmldom'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { append, ask, openApp } from '../helpers/app.js'
import { admin } from '../helpers/people.js'
import { seeded } from '../helpers/random.js'
import { lintXml } from '../helpers/xmllint.js'

const ATOM = 'application/atom+xml'
const EVENT = 'application/vnd.eventstore.event+xml'
const FORMS = [ATOM, 'application/xml', 'text/xml', EVENT]

/** Characters that XML 1.0 forbids, even escaped. */
const IMPOSSIBLE = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u

const PIECES = [
  '\u0000', '\u0001', '\b', '\t', '\n', '\r', '\r\n', '\u001b', '\u001f', ' ', '\u007f', '\u0085', '\u00a0', '\u2028',
  '\ud800', '\udc00', '\udc00\ud800', '\ud83d\ude00', '\ufffe', '\uffff', '\u{1fffe}', '\ufdd0', '\ufeff', '<', '>', '&',
  '"', "'", ']]>', '<!--', '-->', '<?x?>', '&#1;', '&amp;', '<![CDATA[', 'a', 'ä', 'e\u0301', '_x0041_', 'xml', 'xmlns', ':', '@',
  '#text', '\u0660', '²', 'ª', 'µ', '①', '々', '\u1780', '0', '-', '.'
] // biome-ignore format: a table

t.test('data is returned as XML with all its characters, or gets a 406 when XML forbids one', async (t) => {
  const random = seeded(t)
  const { app } = await openApp(t)
  const texts = [
    ...PIECES,
    ...Array.from({ length: 60 }, () => Array.from({ length: random.int(1, 4) }, () => random.pick(PIECES)).join(''))
  ]
  const documents = texts.flatMap((text) => [
    { data: { text }, metadata: { i: 1 } },
    { data: { list: ['x', text] }, metadata: { text } },
    { data: { '@attribute': text, text: 'y' }, metadata: {} }
  ])
  await append(
    app,
    'texts',
    documents.map((document) => ({ type: 'T', ...document }))
  )
  const answers: string[] = []
  for (const [number, { data, metadata }] of documents.entries()) {
    for (const accept of FORMS) {
      const { statusCode, body } = await app.inject({ url: `/streams/texts/${number}`, headers: { accept } })
      const whole = accept === ATOM || accept === EVENT ? [data, metadata] : [data]
      const held = JSON.stringify(whole)
      const strings = allStrings(whole)
      const wanted = strings.some((text) => IMPOSSIBLE.test(text)) ? 406 : 200
      if (statusCode !== wanted) t.fail(`${held} as ${accept}: ${statusCode}, not ${wanted}`)
      if (statusCode !== 200) continue
      answers.push(body)
      const shown = allText(body)
      const missing = strings.filter((text) => text !== '' && !shown.includes(text))
      if (missing.length > 0) t.fail(`${held} as ${accept} lacks ${JSON.stringify(missing)}`)
    }
  }
  lintXml(t, answers)
})

t.test('every JSON key becomes a valid XML name', async (t) => {
  const random = seeded(t)
  const { app } = await openApp(t)
  const keys = [
    ...PIECES,
    ...Array.from({ length: 200 }, () => Array.from({ length: random.int(1, 3) }, () => random.pick(PIECES)).join('')),
    ...Array.from({ length: 1500 }, () => String.fromCodePoint(random.int(0x21, random.pick([0xff, 0x3100, 0x10ffff]))))
  ].filter((key) => key !== '@' && !key.endsWith(':'))
  const documents: object[] = keys.map((key) => ({ [key]: 'v' }))
  documents.push(Object.fromEntries(keys.filter((key) => !key.startsWith('@')).map((key, i) => [key, i])))
  documents.push({
    '@xmlns': 'http://www.w3.org/2000/xmlns/',
    '@xmlns:xml': 'u',
    '@xml:lang': 'x',
    xmlns: 1,
    '@xml': 2
  })
  await append(
    app,
    'keys',
    documents.map((data) => ({ type: 'T', data }))
  )
  const answers: string[] = []
  for (const number of documents.keys()) {
    const { statusCode, body } = await app.inject({ url: `/streams/keys/${number}`, headers: { accept: 'text/xml' } })
    if (statusCode === 200) answers.push(body)
    else t.fail(`${JSON.stringify(documents[number])}: ${statusCode}`)
  }
  const { body } = await app.inject({ url: '/streams/keys/head/backward/100?embed=content', headers: { accept: ATOM } })
  lintXml(t, [body, ...answers])
})

t.test('data that is neither JSON nor text gets a 406 as XML', async (t) => {
  const { app } = await openApp(t)
  const headers = { 'content-type': 'application/octet-stream', 'event-type': 'T' }
  await app.inject({ method: 'POST', url: '/streams/bytes', headers, payload: Buffer.from([0xff, 0x61]) })
  for (const accept of [EVENT, 'text/xml']) {
    t.equal((await app.inject({ url: '/streams/bytes/0', headers: { accept } })).statusCode, 406, accept)
  }
  const { statusCode, body } = await app.inject({ url: '/streams/bytes/0', headers: { accept: ATOM } })
  t.equal(statusCode, 200, 'the entry is returned')
  t.notMatch(body, /content|\ufffd/, 'the entry has no content')
})

t.test('a feed page with an event that XML cannot represent is readable', async (t) => {
  const { app } = await openApp(t)
  await append(app, 'mixed', [
    { type: 'T', data: { a: 'before' } },
    { type: 'T\ufffe', data: { a: '\u0001' } },
    { type: 'T', data: { a: 'after' } }
  ])
  const { statusCode, body } = await app.inject({ url: '/streams/mixed?embed=content', headers: { accept: ATOM } })
  t.equal(statusCode, 200)
  t.same(contents(body), ['after', undefined, 'before'], 'the entry of that event has no content')
  t.match(body, '<summary>T\\uFFFE</summary>', 'the type of the event is escaped')
  t.notMatch(body, '\ufffd')
  lintXml(t, [body])
})

t.test('streams and types with any name have well-formed feeds with working links', async (t) => {
  const { app } = await openApp(t)
  const names = [
    'a\ufffe-b',
    'c\uffff',
    '<&>"\'-1',
    'joe @/5',
    '..%2f',
    'a?b#c',
    'd;e=f',
    'ä\u0301',
    '\u{1f600}',
    "(a)!*'",
    '+',
    '%'
  ]
  for (const name of names) await append(app, name, { type: name, data: { name } })
  const feeds = [...names, '$all', '$streams', ...names.map((name) => `$et-${name}`)]
  const answers: string[] = []
  for (const name of feeds) {
    const url = `/streams/${encodeURIComponent(name)}`
    for (const embed of ['', '?embed=content', '?embed=body']) {
      const feed = await app.inject({ url: url + embed, headers: { accept: ATOM } })
      t.equal(feed.statusCode, 200, `${name}${embed}`)
      answers.push(feed.body)
    }
    const links = linksIn(answers.at(-1) as string)
    t.ok(links.length > 0, `${name} has links`)
    for (const link of links) {
      if (link.endsWith('/metadata')) continue
      const { statusCode } = await app.inject({
        url: link,
        headers: { accept: 'application/vnd.eventstore.atom+json' }
      })
      t.equal(statusCode, 200, link)
    }
  }
  t.ok(answers.every((body) => !body.includes('\ufffd')))
  lintXml(t, answers)
})

t.test('all addresses in responses are percent-encoded', async (t) => {
  const { app } = await openApp(t, { insecure: false })
  const name = "joe @/5'(ä)"
  const encoded = /^[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]*$/
  const made = await ask(app, 'POST /users/', admin, {
    loginName: name,
    fullName: name,
    groups: [],
    password: 'pass-word-1'
  })
  t.equal(made.statusCode, 201, made.body)
  const user = `/users/${encodeURIComponent(name)}`
  await ask(app, `POST /streams/${encodeURIComponent(name)}`, admin, [{ type: name }, { type: name }])
  await ask(app, `PUT /consumers/${encodeURIComponent(name)}`, admin, {
    source: `/streams/${encodeURIComponent(name)}`
  })
  const addresses = [
    ...addressesIn(made),
    ...addressesIn(await ask(app, `GET ${user}`, admin)),
    ...addressesIn(await ask(app, 'GET /users', admin)),
    ...addressesIn(await ask(app, `GET /streams/${encodeURIComponent(name)}?limit=1`, admin)),
    ...addressesIn(await ask(app, `GET /events?stream=${encodeURIComponent(name)}&limit=1`, admin)),
    ...addressesIn(await ask(app, `GET /streams?prefix=${encodeURIComponent(name)}&limit=1`, admin)),
    ...addressesIn(await ask(app, `GET /consumers/${encodeURIComponent(name)}`, admin)),
    ...addressesIn(
      await ask(app, `POST /streams/${encodeURIComponent(name)}`, { ...admin, 'if-match': '"9"' }, { type: 'T' })
    ),
    ...addressesIn(
      await ask(app, `GET /streams/${encodeURIComponent(name)}`, {
        ...admin,
        accept: 'application/vnd.eventstore.streamdesc+json'
      })
    ),
    ...addressesIn(
      await ask(app, `GET /streams/${encodeURIComponent(name)}`, {
        ...admin,
        accept: 'application/vnd.eventstore.atom+json'
      })
    )
  ]
  t.ok(addresses.length > 30, `${addresses.length} addresses`)
  t.same(
    addresses.filter((one) => !encoded.test(one)),
    [],
    'each is a URI'
  )
  const edit = addresses.find((one) => one.includes('/users/') && !one.includes('/command/')) as string
  const { statusCode, body } = await ask(app, `GET ${edit.replace(/^http:\/\/[^/]+/, '')}`, admin)
  t.equal(statusCode, 200, edit)
  t.equal(JSON.parse(body).data.loginName, name, 'the link leads to the account')
})

type Answer = Awaited<ReturnType<FastifyInstance['inject']>>

/** Returns the addresses in the headers and body of a response. */
function addressesIn({ headers, body }: Answer): string[] {
  const found: string[] = []
  if (headers.location !== undefined) found.push(String(headers.location))
  for (const [, link] of String(headers.link ?? '').matchAll(/<([^>]*)>/g)) found.push(link as string)
  const walk = (value: unknown, key: string) => {
    if (typeof value === 'string' && (/^(href|uri|id|selfUrl)$/.test(key) || /^links\./.test(key))) {
      if (/^(http|\/)/.test(value)) found.push(value)
    } else if (typeof value === 'object' && value !== null) {
      for (const [name, one] of Object.entries(value)) walk(one, key === 'links' ? `links.${name}` : name)
    }
  }
  walk(body === '' ? null : JSON.parse(body), '')
  return found
}

/** Returns the strings in a value, without its keys. */
function allStrings(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(allStrings) : []
}

/** Returns the texts and attributes of a parsed document. */
function allText(xml: string): string[] {
  const found: string[] = []
  const walk = (node: {
    childNodes: Iterable<unknown>
    textContent: string | null
    attributes?: Iterable<{ value: string }>
  }) => {
    found.push(node.textContent ?? '')
    for (const { value } of Array.from(node.attributes ?? [])) found.push(value)
    for (const child of Array.from(node.childNodes)) walk(child as typeof node)
  }
  walk(new DOMParser({ locator: false }).parseFromString(xml, 'text/xml').documentElement as never)
  return found
}

/** Returns `data.a` of each entry's content; undefined for an entry without content. */
function contents(xml: string): (string | undefined)[] {
  return xml
    .split('<entry>')
    .slice(1)
    .map((entry) => /<data[^>]*><a>([^<]*)/.exec(entry)?.[1])
}

function linksIn(xml: string): string[] {
  return [...xml.matchAll(/href="http:\/\/[^/"]+([^"]*)"/g)].map(([, path]) =>
    (path as string).replaceAll('&amp;', '&')
  )
}
