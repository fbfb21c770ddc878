/** Feeds and single events in the form that was negotiated. */
import { type Codec, codecHash, codecs } from '../codecs.js'
import type { Embed } from './embed.js'
import type { FeedEntry } from './entry.js'
import { dataDocument, documentBytes } from './event-document.js'
import type { Feed } from './feed.js'
import { renderEntryJson, renderFeedJson } from './feed-json.js'
import { renderDataXml, renderEntryXml, renderEventXml, renderFeedXml } from './feed-xml.js'

/** How an answer looks: its form, how much of each event it carries, and what its addresses begin with. */
export interface Look {
  readonly codec: Codec
  readonly embed: Embed
  readonly base: string
}

/** Feeds in XML carry content or nothing; the other levels have no form there. */
export function renderFeed(feed: Feed, { codec, embed, base }: Look): Buffer {
  if (codec.xml) return Buffer.from(renderFeedXml(feed, base, embed === 'content'))
  const tag = feed.tagVersion === undefined ? undefined : `${feed.tagVersion};${codecHash(codecs.atomJson)}`
  return Buffer.from(renderFeedJson(feed, base, embed, tag), 'latin1')
}

/** @param entry of an event that is there @throws a 406 for one that has no form in XML */
export function renderSingle(entry: FeedEntry, { codec, embed, base }: Look): Buffer {
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
