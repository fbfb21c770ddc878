/** The page for browsers that open the address of events: it shows and follows them (native contract §8). */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { offers } from '../eventstore/wire/codecs.js'
import { isWebSocket } from '../eventstore/wire/form.js'
import { hasDialectHeader } from '../eventstore/wire/headers.js'
import { rawQueryOf } from '../eventstore/wire/urls.js'
import { VARY_SHARED } from '../eventstore/wire/vary.js'
import { AcceptedForms } from '../wire/accept.js'
import { nativeTypes } from '../wire/media-types.js'
import { matchesTag } from '../wire/reading/page.js'

const page = readPage()

const HEADERS = {
  // The page shows what strangers wrote: only its own script runs, and it connects to this server alone.
  'content-security-policy': [
    "default-src 'none'",
    `style-src ${sourcesOf('style')}`,
    `script-src ${sourcesOf('script')}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'"
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
  etag: `"${sha256(page).slice(0, 22)}"`,
  vary: VARY_SHARED
}

/** HTML, or one of the forms that any of these addresses has. */
const htmlForms = new AcceptedForms<'html' | 'other'>([
  ...[
    'application/json',
    ...nativeTypes.feed,
    ...nativeTypes.event,
    ...offers.feed.forms.types,
    'text/event-stream'
  ].map((type) => [type, 'other'] as const),
  ['text/html', 'html']
])

/**
 * True when a request prefers HTML to all other forms (native contract §8, §9). A wildcard alone, as curl sends it, does
 * not ask for HTML. `format`, the dialect's `embed` and headers, and an upgrade to WebSocket decide before Accept does.
 */
export function wantsHtml({ headers, url }: Pick<FastifyRequest, 'headers' | 'url'>): boolean {
  const { accept, upgrade } = headers
  if (accept === undefined || isWebSocket(upgrade) || !/text\/html/i.test(accept)) return false
  if (htmlForms.preferred(accept) !== 'html') return false
  const query = rawQueryOf({ url })
  return !query.has('format') && !query.has('embed') && !hasDialectHeader(headers)
}

/**
 * Sends the page (native contract §8), or 304. Its script reads the address. It is told how many segments of that are this
 * server's: what stands before them is the path under which a proxy shows the server, whether the proxy says so or not.
 */
export function sendBrowserPage(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  reply.headers(HEADERS)
  if (matchesTag(request.headers['if-none-match'], HEADERS.etag)) return reply.code(304).send()
  const depth = (request.url.split('?', 1)[0] as string)
    .split('/')
    .filter((segment, i) => segment !== '' || i > 1).length
  return reply
    .header('content-type', 'text/html; charset=utf-8')
    .send(page.replace('data-depth="1"', `data-depth="${depth}"`))
}

/**
 * As the first hook of a route: browsers get the page, all others go on. The page asks the same address again for
 * JSON, so what is wrong with it (an unknown parameter, a stream that is gone) is told there, in the page.
 */
export function browsersFirst(request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void {
  if (wantsHtml(request)) sendBrowserPage(request, reply)
  else done()
}

/** The page stands beside routes/, and beside dist/ when this was built. */
function readPage(): string {
  for (const path of ['../../ui/page.html', '../../../ui/page.html']) {
    try {
      // A browser sees line breaks as one character before it hashes.
      return readFileSync(new URL(path, import.meta.url), 'utf8').replaceAll('\r\n', '\n')
    } catch {}
  }
  throw new Error('ui/page.html is missing: this installation is not whole')
}

/** The sources of a policy that allow the page's own elements, by what stands in them. */
function sourcesOf(element: 'style' | 'script'): string {
  const found = [...page.matchAll(new RegExp(`<${element}[^>]*>([^]*?)</${element}>`, 'g'))]
  return found.map(([, text = '']) => `'sha256-${sha256(text)}'`).join(' ')
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}
