/** The Atom dialect: reads and writes in EventStoreDB's form, on a store (reference 4 to 12). */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { KnownMethods } from '../http/known-methods.js'
import type { ReadCaches } from '../reading/pages.js'
import { forwardedOrigin } from '../wire/forwarded.js'
import { type FeedParts, Feeds } from './feeds.js'
import { LogFeed, type LogFeedParts } from './log-feed.js'
import { type SingleEventParts, SingleEvents } from './single-events.js'
import type { PagePath } from './wire/page-path.js'
import { type BaseOf, baseUrl } from './wire/urls.js'
import { type WriteParts, Writes } from './writes.js'

/** The parts of the store that the dialect uses. */
export interface AtomParts extends FeedParts, SingleEventParts, LogFeedParts, WriteParts {}

export class AtomDialect {
  readonly feeds: Feeds
  readonly singleEvents: SingleEvents
  readonly logFeed: LogFeed
  readonly writes: Writes
  readonly baseOf: BaseOf

  readonly #methods: KnownMethods
  /** True when X-Forwarded-* headers are trusted. */
  readonly trustProxy: boolean

  /** @param trustProxy whether X-Forwarded-* headers are trusted */
  constructor(parts: AtomParts, caches: ReadCaches, methods: KnownMethods, trustProxy: boolean) {
    this.#methods = methods
    this.trustProxy = trustProxy
    this.baseOf = ({ headers, raw }) => baseUrl(headers, 'encrypted' in raw.socket, trustProxy)
    this.feeds = new Feeds(parts, caches, this.baseOf)
    this.singleEvents = new SingleEvents(parts, caches, this.baseOf)
    this.logFeed = new LogFeed(parts, caches.answers, this.baseOf)
    this.writes = new Writes(parts, this.baseOf)
  }

  /**
   * Returns the base of redirects. It is only the path prefix when a trusted proxy does not forward the scheme, so that
   * the client keeps its own scheme.
   */
  redirectBaseOf(request: FastifyRequest): string {
    const isKnown = !this.trustProxy || forwardedOrigin(request.headers).scheme !== undefined
    return isKnown ? this.baseOf(request).replace(/\/$/, '') : request.prefix
  }

  /** Begins a response in the dialect: lists the allowed methods for pages of other origins (reference 1.4). */
  begin(request: FastifyRequest, reply: FastifyReply): this {
    reply.header('access-control-allow-methods', this.#methods.of(request))
    return this
  }

  /** Sends a page of a stream, or of the log for the name `$all`. */
  feed(request: FastifyRequest, reply: FastifyReply, stream: string, path: PagePath): Promise<FastifyReply> {
    return stream === '$all'
      ? this.logFeed.feed(request, reply, path, false)
      : this.feeds.feed(request, reply, stream, path)
  }
}
