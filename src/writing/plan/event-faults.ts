/**
 * What the events of an append may not hold: ids that the log keeps for itself, and settings or metadata that make no
 * sense. The plan of the append asks, so that no route can forget to. Pure.
 */

import { AUDIT } from '../../access/audit.js'
import { faultsOfSettings, SETTINGS } from '../../access/permissions.js'
import { DaybookError } from '../../errors.js'
import { limits } from '../../limits.js'
import { idText, StoredRecord } from '../../log/format.js'
import type { MemberFault } from '../../streams/acl.js'
import { doubtsOf, faultsOf, membersOfDocument, readMetadata, type StreamMetadata } from '../../streams/metadata.js'
import { slipsOf } from '../../streams/metadata-names.js'
import { isMetastream, isSystemStream, originalOf } from '../../streams/names.js'
import type { NewEvent } from '../../streams/new-event.js'
import type { PlanningView } from './planning-view.js'

/**
 * Looks for the first such fault.
 * @param dialect the events come in EventStoreDB's form, in which members may stand twice or be unknown
 * @returns the refusal; undefined when there is none
 */
export function findFault(events: readonly NewEvent[], dialect: boolean, view: PlanningView): DaybookError | undefined {
  for (const [index, { stream, id, record }] of events.entries()) {
    if (id !== undefined && view.isOfTheFuture(id)) return idOfTheFuture(id, index)
    if (!isSystemStream(stream)) continue
    const { document } = new StoredRecord(0, record.bytes)
    const details = { index, stream, written: false, retry: false }
    if (stream === SETTINGS) {
      const [fault] = faultsOfSettings(document)
      if (fault !== undefined) return new DaybookError('invalid-event', fault, details)
    } else if (isMetastream(stream)) {
      const fault = faultOfMetadata(originalOf(stream), document, dialect, view)
      if (fault === undefined) continue
      const { member, why } = fault
      return new DaybookError('invalid-metadata', why, { ...details, ...(member !== undefined && { member }) })
    }
  }
  return undefined
}

/** The log would make the same id again when it reaches that position. */
function idOfTheFuture(id: Buffer, index: number): DaybookError {
  const why = `The id ${idText(id)} has the form of those that this log makes, and names an event that does not exist yet. Send one of your own, or none.`
  return new DaybookError('bad-event-id', why, { index, written: false, retry: false })
}

/**
 * The metadata of `$all` says who may read the log in EventStoreDB's form; what a stream shows, its own metadata says.
 * @param standing what is in force: what stands there may stay
 */
function faultOfLog(wanted: StreamMetadata, standing: StreamMetadata): MemberFault | undefined {
  const members = {
    $maxCount: 'maxCount',
    $maxAge: 'maxAge',
    $tb: 'truncateBefore',
    $cacheControl: 'cacheControl'
  } as const
  const [member] = Object.entries(members).find(([, name]) => (wanted[name] ?? standing[name]) !== standing[name]) ?? []
  return member === undefined
    ? undefined
    : { member, why: `"${member}" does nothing on the whole log. Set it on streams.` }
}

/** What was done is shown for a day at least, so that nobody hides what they have just done. */
function faultOfAudit({ maxCount, maxAge, truncateBefore }: StreamMetadata): MemberFault | undefined {
  const member = maxCount !== undefined ? '$maxCount' : truncateBefore !== undefined ? '$tb' : undefined
  if (member !== undefined) {
    const why = `Nothing hides events of "${AUDIT}" by their number; "$maxAge" says how long they are shown.`
    return { member, why }
  }
  if ((maxAge ?? Infinity) >= limits.audit_shown_ms_min) return undefined
  return { member: '$maxAge', why: `Events of "${AUDIT}" are shown for at least a day (86,400 seconds).` }
}

/**
 * What is wrong with the metadata of a stream, whatever the type of the event that holds it: the last of a metastream
 * counts.
 */
function faultOfMetadata(
  stream: string,
  document: Buffer | undefined,
  dialect: boolean,
  view: PlanningView
): MemberFault | undefined {
  const members = membersOfDocument(document)
  const [fault] = faultsOf(document, members)
  if (fault !== undefined || members === undefined) return fault
  if (stream === AUDIT) {
    const hidden = faultOfAudit(readMetadata(document))
    if (hidden !== undefined) return hidden
  }
  const { document: standing, metadata } = view.state(stream)
  const [slip] = slipsOf(members, 'stored', standing)
  const fruitless = slip ?? (stream === '$all' ? faultOfLog(readMetadata(document), metadata) : undefined)
  if (fruitless !== undefined || dialect) return fruitless
  const limit = limits.metadata_bytes_max
  if (document !== undefined && document.length > limit) return { why: `Stream metadata has at most ${limit} bytes.` }
  return doubtsOf(document, standing)[0]
}
