/**
 * A client that follows the links of a feed reads all its events, in every form, while other clients write
 * (reference 7, 8, 11.6, 12, 19).
 */
import { parseFeed } from '@rowanmanning/feed-parser'
import { DOMParser } from '@xmldom/xmldom'
import { Ajv } from 'ajv'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { AtomEntry, AtomFeed } from '../../schemas/atom.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { openApp } from '../helpers/app.js'
import { type HistoryLine, hasHistory, historyLines } from '../helpers/history.js'
import { type Random, seeded } from '../helpers/random.js'
import { scaled } from '../helpers/scale.js'
import { lintXml } from '../helpers/xmllint.js'

const JSON_FEED = 'application/vnd.eventstore.atom+json'
const XML_FEED = 'application/atom+xml'
const PAGE = 50

const ajv = new Ajv({
  strict: false,
  schemas: [AtomEntry],
  formats: { uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/ }
})
const isFeed = ajv.compile(AtomFeed)
const isEntry = ajv.compile({ $ref: 'AtomEntry' })

/** A page, parsed from JSON or XML. */
interface Page {
  links: Record<string, string>
  entries: { title: string; summary: string; links: Record<string, string> }[]
}

t.test(
  'links lead to all events of the imported history, while another client appends, truncates and deletes',
  async (t) => {
    const random = seeded(t)
    const { app, store, directory } = await openApp(t)
    const history = historyLines()
    const lines = history.slice(0, scaled(history.length, 2000))
    t.comment(hasHistory ? 'the real history' : 'a generated history: the real one is not on this machine')
    const payload = lines.map((line) => JSON.stringify(line)).join('\n')
    const headers = { 'content-type': 'application/x-ndjson' }
    const imported = await app.inject({ method: 'POST', url: '/events?batch=4096', headers, payload })
    t.equal(
      JSON.parse(imported.body.trimEnd().split('\n').at(-1) as string).receipt?.events ?? lines.length,
      lines.length
    )
    t.equal(store.log.head, lines.length - 1, 'the whole history is imported')

    const names = [...new Set(lines.map(({ stream }) => stream))]
    const awkward = names.filter((name) => /[/ %<&]|[^\x00-\x7f]/.test(name)).slice(0, 12)
    t.ok(awkward.length > 3, 'some stream names need escaping')
    const streams = ['file-package.json', 'file-fastify.js', ...awkward]
    const other = new OtherClient(app, random, lines, streams)
    const feeds: [string, (event: Event) => boolean][] = [
      ...streams.map((name): [string, (event: Event) => boolean] => [name, ({ stream }) => stream === name]),
      ['$all', () => true],
      ['$ce-file', ({ stream }) => stream.startsWith('file-')],
      ['$et-ReleaseTagged', ({ type }) => type === 'ReleaseTagged'],
      ['$streams', ({ number }) => number === 0]
    ]
    for (const accept of [JSON_FEED, XML_FEED]) {
      for (const [name, belongs] of feeds) {
        const crawler = new Crawler(app, accept, other)
        await t.test(`${name} as ${accept}`, async (t) => walk(t, crawler, name, belongs, other))
      }
    }
    t.ok(other.truncated.size > 3 && other.deleted.size > 3, 'the other client has truncated and deleted streams')
    t.comment(`meanwhile ${other.appended} appended, ${other.truncated.size} truncated, ${other.deleted.size} deleted`)
    await app.close()
    t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
  }
)

t.test('feeds match their schema at every embed level, with event data of every kind', async (t) => {
  const { app } = await openApp(t)
  await appendAwkward(app)
  for (const embed of ['none', 'content', 'rich', 'body', 'pretty', 'tryharder']) {
    for (const stream of ['awkward', '$all', '$et-T', '$streams']) {
      const url = `/streams/${encodeURIComponent(stream)}?embed=${embed}`
      const page = jsonPage(t, url, (await app.inject({ url, headers: { accept: JSON_FEED } })).body)
      t.ok(page.entries.length > 0, url)
    }
  }
})

t.test('feeds, entries and events are well-formed XML, with event data of every kind', async (t) => {
  const { app } = await openApp(t)
  const events = await appendAwkward(app)
  const crawler = new Crawler(app, XML_FEED, new OtherClient(app, seeded(t), [], []))
  const page = await crawler.page(t, '/streams/awkward?embed=content')
  t.equal(page.entries.length, events)
  for (let number = 0; number < events; number++) {
    for (const accept of [XML_FEED, 'application/vnd.eventstore.event+xml', 'text/xml']) {
      const url = `/streams/awkward/${number}`
      const { statusCode, body } = await app.inject({ url, headers: { accept } })
      if (statusCode === 200) crawler.keep(body)
      else t.equal(statusCode, 406, `${url} as ${accept} is XML or gets a 406`)
    }
  }
  crawler.lint(t)
})

/** Appends events with unusual types and data. @returns their number */
async function appendAwkward(app: FastifyInstance): Promise<number> {
  const events = AWKWARD.map(
    (data, i) => `{"type":${i % 2 ? '"T"' : '"Größe <&>"'},"data":${data},"metadata":{"i":${i}}}`
  )
  const headers = { 'content-type': 'application/json' }
  const url = '/streams/awkward'
  const { statusCode, body } = await app.inject({ method: 'POST', url, headers, payload: `[${events}]` })
  if (statusCode !== 201) throw new Error(`the append of unusual events failed: ${body}`)
  const bytes = { 'content-type': 'application/octet-stream', 'event-type': 'Bytes' }
  await app.inject({ method: 'POST', url, headers: bytes, payload: Buffer.from([0, 255, 1, 60]) })
  return AWKWARD.length + 1
}

const AWKWARD = [
  '{}',
  '{"a":{"b":[1,[2,[3]],{"c":null}]},"empty":""}',
  '{"a b":1,"ä:ö":2,"1":3,"@attribute":"x","#text":"y","<":"&","xml":1,"xmlns:x":"u"}',
  String.raw`{"text":"\u0000\u0001\u001f \ufffe ]]> <!-- --> &amp; \ud83d\ude00 \ud800"}`,
  '{"large":9007199254740993,"larger":1e400,"small":-0,"list":[[],[[]],{}]}',
  '["no object"]',
  '"text"',
  '12.5',
  'null'
]

/** Follows `next` from the head to the oldest page, then `previous` back to the head, then all other links. */
async function walk(
  t: Test,
  crawler: Crawler,
  name: string,
  belongs: (event: Event) => boolean,
  other: OtherClient
): Promise<void> {
  const root = `/streams/${encodeURIComponent(name)}/head/backward/${PAGE}`
  const before = new Set(other.events(belongs))
  const backward: string[] = []
  let url: string | undefined = root
  let end = root
  for (; url !== undefined; url = crawler.last.links.next) {
    end = url
    const page = await crawler.page(t, url)
    backward.push(...page.entries.map(({ title }) => title))
    await other.act()
  }
  const gone = (title: string) => !other.isVisible(title)
  checkOnce(t, `${name} by next`, backward, new Set([...before].filter((title) => !gone(title))))

  const forward: string[] = []
  // Start at the oldest page. A page of truncated events only is empty but has a `previous` link. The last page has
  // none: a client would request it again later.
  for (url = crawler.pages.get(end)?.links.last ?? end; url !== undefined; url = crawler.last.links.previous) {
    const page = await crawler.page(t, url)
    forward.push(...page.entries.map(({ title }) => title).reverse())
    if (page.links.previous !== undefined && crawler.fetched % 10 === 0) await other.act()
  }
  checkOnce(t, `${name} by previous`, forward, new Set(other.events(belongs).filter((title) => !gone(title))))
  const placed = forward.filter((title) => other.positionOf(title) !== undefined)
  t.same(placed, inOrder(placed, other), 'oldest first')
  const strange = [...backward, ...forward].filter((title) => !other.knows(title, name))
  t.same(strange.slice(0, 3), [], 'all events were written by a client')

  await crawler.rest(t)
  crawler.lint(t)
}

function checkOnce(t: Test, what: string, met: string[], wanted: ReadonlySet<string>): void {
  const once = new Set(met)
  t.equal(once.size, met.length, `${what}: no event twice`)
  const missed = [...wanted].filter((title) => !once.has(title))
  t.same(missed.slice(0, 3), [], `${what}: no event missed (${met.length} met)`)
}

function inOrder(titles: string[], other: OtherClient): string[] {
  const at = (title: string) => other.positionOf(title) ?? 0
  return [...titles].sort((one, two) => at(one) - at(two))
}

/** Fetches and checks pages and entries, and collects their links. */
class Crawler {
  readonly pages = new Map<string, Page>()
  last: Page = { links: {}, entries: [] }
  fetched = 0
  readonly #app: FastifyInstance
  readonly #accept: string
  readonly #other: OtherClient
  /** Links that `walk` does not follow: the URL, and the title of the expected entry. */
  readonly #others = new Map<string, string | undefined>()
  readonly #xml: string[] = []

  constructor(app: FastifyInstance, accept: string, other: OtherClient) {
    this.#app = app
    this.#accept = accept
    this.#other = other
  }

  async page(t: Test, url: string): Promise<Page> {
    const answer = await this.#app.inject({ url, headers: { accept: this.#accept } })
    if (answer.statusCode !== 200) {
      t.fail(`${url}: ${answer.statusCode} ${answer.statusMessage}`)
      throw new Error(url)
    }
    this.fetched++
    const page = this.#accept === JSON_FEED ? jsonPage(t, url, answer.body) : xmlPage(t, url, answer.body)
    if (this.#accept === XML_FEED) this.#xml.push(answer.body)
    this.pages.set(url, page)
    this.last = page
    for (const link of Object.values(page.links)) if (!this.#others.has(link)) this.#others.set(link, undefined)
    for (const { title, links } of page.entries) for (const link of Object.values(links)) this.#others.set(link, title)
    return page
  }

  /** Follows all collected links that have not been followed yet. */
  async rest(t: Test): Promise<void> {
    let followed = 0
    for (const [url, title] of [...this.#others]) {
      if (this.pages.has(url)) continue
      followed++
      if (title === undefined) {
        if (!url.endsWith('/metadata')) await this.page(t, url)
        else await this.#metadata(t, url)
      } else await this.#entry(t, url, title)
    }
    t.comment(`${this.fetched} pages, ${followed} other links`)
  }

  /** The log has no metadata until a client writes it. All other feeds have at least an empty document. */
  async #metadata(t: Test, url: string): Promise<void> {
    const { statusCode } = await this.#app.inject({ url, headers: { accept: this.#accept } })
    const expected = url === '/streams/%24all/metadata' ? 404 : 200
    if (!this.#other.isDeletedUrl(url)) t.equal(statusCode, expected, url)
  }

  async #entry(t: Test, url: string, title: string): Promise<void> {
    const { statusCode, body } = await this.#app.inject({ url, headers: { accept: this.#accept } })
    // The event may have been hidden since. Of metadata, only the last version is readable (reference 11.2).
    const gone = statusCode === 404 || statusCode === 410 || body === '{}' || body === ''
    if (gone && (title.includes('@$$') || !this.#other.isVisible(title))) return
    const found = statusCode !== 200 ? undefined : this.#accept === JSON_FEED ? jsonEntry(t, body) : xmlEntry(body)
    if (found !== title) t.fail(`${url}: ${statusCode} with ${found}, not with ${title}`)
  }

  keep(xml: string): void {
    this.#xml.push(xml)
  }

  /** Checks all collected XML with xmllint. */
  lint(t: Test): void {
    lintXml(t, this.#xml)
  }
}

function jsonPage(t: Test, url: string, body: string): Page {
  const feed = JSON.parse(body)
  if (!isFeed(feed)) t.fail(`${url} is not a valid feed: ${ajv.errorsText(isFeed.errors)}`)
  return { links: linksOf(feed.links), entries: feed.entries.map(jsonShown) }
}

interface JsonEntry {
  title: string
  summary: string
  links: { uri: string; relation: string }[]
}

function jsonShown({ title, summary, links }: JsonEntry): Page['entries'][number] {
  return { title, summary, links: linksOf(links) }
}

function linksOf(links: readonly { uri: string; relation: string }[]): Record<string, string> {
  return Object.fromEntries(links.map(({ uri, relation }) => [relation, pathOf(uri)]))
}

function jsonEntry(t: Test, body: string): string {
  const entry = JSON.parse(body)
  if (!isEntry(entry)) t.fail(`not a valid entry: ${ajv.errorsText(isEntry.errors)}`)
  return entry.title
}

/** Parses a page with a feed reader's parser, and again for the links: that parser keeps only one per entry. */
function xmlPage(t: Test, url: string, body: string): Page {
  const root = parseXml(body)
  const entries = childrenOf(root, 'entry').map((entry) => ({
    title: childrenOf(entry, 'title')[0]?.textContent ?? '',
    summary: childrenOf(entry, 'summary')[0]?.textContent ?? '',
    links: xmlLinks(entry)
  }))
  const feed = parseFeed(body)
  const read = feed.items.map(({ id, title, published, updated }) => ({ id, title, dated: published ?? updated }))
  const whole = read.every(({ id, title, dated }, i) => {
    return id !== null && title === collapsed(entries[i]?.title ?? '') && !Number.isNaN(Number(dated))
  })
  if (!whole || read.length !== entries.length || !feed.title)
    t.fail(`${url}: a feed parser reads ${read.length} items`)
  return { links: xmlLinks(root), entries }
}

/** Collapses white space, as the feed parser does. */
function collapsed(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}

function xmlEntry(body: string): string {
  return childrenOf(parseXml(body), 'title')[0]?.textContent ?? ''
}

type Element = NonNullable<ReturnType<DOMParser['parseFromString']>['documentElement']>

function parseXml(body: string): Element {
  return new DOMParser({ locator: false }).parseFromString(body, 'text/xml').documentElement as Element
}

function childrenOf(parent: Element, name: string): Element[] {
  return Array.from(parent.childNodes).filter((node): node is Element => (node as Element).localName === name)
}

function xmlLinks(parent: Element): Record<string, string> {
  const links = childrenOf(parent, 'link')
  return Object.fromEntries(
    links.map((link) => [link.getAttribute('rel'), pathOf(link.getAttribute('href') as string)])
  )
}

function pathOf(url: string): string {
  return url.replace(/^http:\/\/[^/]+/, '')
}

interface Event {
  stream: string
  number: number
  type: string
  position: number
}

/** Appends, truncates and deletes during the crawl, and knows which events are still visible. */
class OtherClient {
  readonly streams = new Map<string, Event[]>()
  readonly truncated = new Map<string, number>()
  readonly deleted = new Set<string>()
  appended = 0
  readonly #app: FastifyInstance
  readonly #random: Random
  /** Streams whose own feeds are crawled: never deleted, sometimes truncated, except the first. */
  readonly #read: ReadonlySet<string>
  readonly #victims: string[]

  constructor(app: FastifyInstance, random: Random, lines: readonly HistoryLine[], read: readonly string[]) {
    this.#app = app
    this.#random = random
    for (const [position, { stream, type }] of lines.entries()) this.#add(stream, type, position)
    this.#read = new Set(read)
    this.#victims = [...this.streams.keys()].filter((name) => name !== read[0])
  }

  #add(stream: string, type: string, position: number): void {
    const events = this.streams.get(stream) ?? []
    events.push({ stream, number: events.length, type, position })
    this.streams.set(stream, events)
  }

  /** Makes one random request, most often an append. */
  async act(): Promise<void> {
    const roll = this.#random.next()
    if (roll < 0.7) return this.#append()
    const stream = this.#random.pick(this.#victims)
    if (this.deleted.has(stream)) return
    if (roll < 0.9 && this.streams.get(stream)) await this.#truncate(stream)
    else if (!this.#read.has(stream)) await this.#delete(stream)
  }

  async #append(): Promise<void> {
    const stream = this.#random.pick(['file-package.json', 'file-fastify.js', `file-new-${this.appended}`])
    if (this.deleted.has(stream)) return
    const type = this.#random.pick(['FileChanged', 'ReleaseTagged'])
    const headers = { 'content-type': 'application/json', 'es-eventtype': type }
    const url = `/streams/${encodeURIComponent(stream)}`
    const { statusCode } = await this.#app.inject({ method: 'POST', url, headers, payload: '{"new":true}' })
    if (statusCode !== 201) throw new Error(`an append got ${statusCode}`)
    this.#add(stream, type, 1e9 + this.appended++)
  }

  async #truncate(stream: string): Promise<void> {
    const events = this.streams.get(stream) as Event[]
    const before = this.#random.int(0, events.length - 1)
    const headers = { 'content-type': 'application/json', 'es-eventid': this.#random.uuid() }
    const url = `/streams/${encodeURIComponent(stream)}/metadata`
    const { statusCode } = await this.#app.inject({ method: 'POST', url, headers, payload: `{"$tb":${before}}` })
    if (statusCode !== 201) throw new Error(`a truncation got ${statusCode}`)
    this.truncated.set(stream, Math.max(before, this.truncated.get(stream) ?? 0))
  }

  async #delete(stream: string): Promise<void> {
    const headers = { 'es-harddelete': String(this.#random.chance(0.5)) }
    const url = `/streams/${encodeURIComponent(stream)}`
    const { statusCode } = await this.#app.inject({ method: 'DELETE', url, headers })
    if (statusCode !== 204) throw new Error(`a delete got ${statusCode}`)
    this.deleted.add(stream)
  }

  /** Returns the titles of the events that belong to a feed. */
  events(belongs: (event: Event) => boolean): string[] {
    const titles: string[] = []
    for (const events of this.streams.values()) {
      for (const event of events) if (belongs(event)) titles.push(`${event.number}@${event.stream}`)
    }
    return titles
  }

  /** Returns true for an event that is still visible. */
  isVisible(title: string): boolean {
    const [number, stream] = splitTitle(title)
    return !this.deleted.has(stream) && number >= (this.truncated.get(stream) ?? 0)
  }

  isDeletedUrl(url: string): boolean {
    return this.deleted.has(decodeURIComponent(url.split('/')[2] ?? ''))
  }

  positionOf(title: string): number | undefined {
    const [number, stream] = splitTitle(title)
    return this.streams.get(stream)?.[number]?.position
  }

  /** Returns true for a written event, and for metadata, tombstones and hidden entries after a truncation or delete. */
  knows(title: string, feed: string): boolean {
    const [, stream] = splitTitle(title)
    const hidden = this.truncated.size + this.deleted.size > 0
    return (
      this.positionOf(title) !== undefined ||
      (hidden && (stream.startsWith('$$') || stream === feed || this.deleted.has(stream)))
    )
  }
}

function splitTitle(title: string): [number, string] {
  const at = title.indexOf('@')
  return [Number(title.slice(0, at)), title.slice(at + 1)]
}
