/**
 * Validates the events of an append: refuses ids that are reserved for the log, and invalid settings or metadata. The
 * plan of an append calls it, so that no route can forget the check. Pure.
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
 * Finds the first invalid event.
 * @param dialect true for events in EventStoreDB's form, in which metadata members may be repeated or unknown
 * @returns a `DaybookError` with code `bad-event-id`, `invalid-event` or `invalid-metadata`; undefined when all are
 * valid
 */
export function findFault(events: readonly NewEvent[], dialect: boolean, view: PlanningView): DaybookError | undefined {
  for (const [index, { stream, id, record }] of events.entries()) {
    if (id !== undefined && view.isReserved(id)) return reservedId(id, index)
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

/** The log would generate the same id again when it reaches that position. */
function reservedId(id: Buffer, index: number): DaybookError {
  const why = `The id ${idText(id)} is reserved: the log will generate it for a future event. Send another id, or none.`
  return new DaybookError('bad-event-id', why, { index, written: false, retry: false })
}

/**
 * Refuses new retention and cache settings for `$all`. Its metadata only has access rules for reading the log in
 * EventStoreDB's form; retention is set on each stream.
 * @param standing the current metadata: settings that are there already may stay
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
    : { member, why: `"${member}" has no effect on "$all". Set it on single streams.` }
}

/** Audit events must stay visible for at least a day, so that no account can hide a recent action. */
function faultOfAudit({ maxCount, maxAge, truncateBefore }: StreamMetadata): MemberFault | undefined {
  const member = maxCount !== undefined ? '$maxCount' : truncateBefore !== undefined ? '$tb' : undefined
  if (member !== undefined) {
    const why = `"${member}" may not be set on "${AUDIT}". Limit the age of its events with "$maxAge" instead.`
    return { member, why }
  }
  if ((maxAge ?? Infinity) >= limits.audit_shown_ms_min) return undefined
  const why = `"$maxAge" of "${AUDIT}" is ${(maxAge ?? 0) / 1000}; it must be at least a day (86400 seconds).`
  return { member: '$maxAge', why }
}

/**
 * Returns the first fault of a stream's metadata. The type of the event does not matter: the last event of a metastream
 * is always the metadata of the stream.
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
  const misplaced = slip ?? (stream === '$all' ? faultOfLog(readMetadata(document), metadata) : undefined)
  if (misplaced !== undefined || dialect) return misplaced
  const limit = limits.metadata_bytes_max
  if (document !== undefined && document.length > limit)
    return { why: `The stream metadata has ${document.length} bytes; at most ${limit} are allowed.` }
  return doubtsOf(document, standing)[0]
}
