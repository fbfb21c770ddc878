/** The HTML page that shows and follows events, for browsers that open an address of events (native contract §8). */
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
  // The page shows untrusted text: allow only the page's own script, and connections to this server only.
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

/** HTML, or any other form that one of these addresses offers. */
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
 * Returns true when a request prefers HTML to all other forms (native contract §8, §9). A wildcard alone, as curl sends
 * it, does not ask for HTML. `format`, the dialect's `embed` and headers, and a WebSocket upgrade override Accept.
 */
export function wantsHtml({ headers, url }: Pick<FastifyRequest, 'headers' | 'url'>): boolean {
  const { accept, upgrade } = headers
  if (accept === undefined || isWebSocket(upgrade) || !/text\/html/i.test(accept)) return false
  if (htmlForms.preferred(accept) !== 'html') return false
  const query = rawQueryOf({ url })
  return !query.has('format') && !query.has('embed') && !hasDialectHeader(headers)
}

/**
 * Sends the page, or 304 (native contract §8). The page's script reads its own address and is told how many path
 * segments belong to this server. The segments before them are a proxy's prefix, announced or not.
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
 * Sends the page to browsers and lets other requests continue; use it as the first hook of a route. The page requests
 * the same address as JSON, so it shows errors of the request itself (an unknown parameter, a deleted stream).
 */
export function browsersFirst(request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void {
  if (wantsHtml(request)) sendBrowserPage(request, reply)
  else done()
}

/** Reads the page from ui/, which is next to routes/ in the sources and next to dist/ in a build. */
function readPage(): string {
  for (const path of ['../../ui/page.html', '../../../ui/page.html']) {
    try {
      // Browsers normalize CRLF to LF before they compute the hash for the policy.
      return readFileSync(new URL(path, import.meta.url), 'utf8').replaceAll('\r\n', '\n')
    } catch {}
  }
  throw new Error('ui/page.html is missing; install Daybook again')
}

/** Returns the hash sources that allow the page's own elements in its content security policy. */
function sourcesOf(element: 'style' | 'script'): string {
  const found = [...page.matchAll(new RegExp(`<${element}[^>]*>([^]*?)</${element}>`, 'g'))]
  return found.map(([, text = '']) => `'sha256-${sha256(text)}'`).join(' ')
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}
