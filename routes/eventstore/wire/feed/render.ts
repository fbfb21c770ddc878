/** Renders feeds and single events in the negotiated form. */
import { type Codec, codecHash, codecs } from '../codecs.js'
import type { Embed } from './embed.js'
import type { FeedEntry } from './entry.js'
import { dataDocument, documentBytes } from './event-document.js'
import type { Feed } from './feed.js'
import { renderEntryJson, renderFeedJson } from './feed-json.js'
import { renderDataXml, renderEntryXml, renderEventXml, renderFeedXml } from './feed-xml.js'

/** Rendering options: the form, how much of each event to include, and the base of addresses. */
export interface RenderOptions {
  readonly codec: Codec
  readonly embed: Embed
  readonly base: string
}

/** Returns a feed as bytes. In XML, `embed` has only two levels: `content`, and none for all other values. */
export function renderFeed(feed: Feed, { codec, embed, base }: RenderOptions): Buffer {
  if (codec.xml) return Buffer.from(renderFeedXml(feed, base, embed === 'content'))
  const tag = feed.tagVersion === undefined ? undefined : `${feed.tagVersion};${codecHash(codecs.atomJson)}`
  return Buffer.from(renderFeedJson(feed, base, embed, tag), 'latin1')
}

/** Returns a single event as bytes. @param entry must have an event @throws a 406 when XML cannot represent it */
export function renderSingle(entry: FeedEntry, { codec, embed, base }: RenderOptions): Buffer {
  const event = entry.event as NonNullable<FeedEntry['event']>
  switch (codec) {
    case codecs.octets:
      return event.octets
    case codecs.json:
      return Buffer.from(dataDocument(event), 'latin1')
    case codecs.eventJson:
      return Buffer.from(documentBytes(event), 'latin1')
    case codecs.atom:
      return Buffer.from(renderEntryXml(entry, base))
    case codecs.eventXml:
      return Buffer.from(renderEventXml(event))
    case codecs.xml:
    case codecs.applicationXml:
      return Buffer.from(renderDataXml(event))
    default:
      return Buffer.from(renderEntryJson(entry, base, embed), 'latin1')
  }
}
