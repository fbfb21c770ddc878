/** Audit events of an append: changes of access rules, and of the retention of the server's own streams. Pure. */

import { auditEvent } from '../../access/audit.js'
import { type Actor, isOwn, SETTINGS } from '../../access/permissions.js'
import { isMetastream, metastreamOf, originalOf } from '../../streams/names.js'
import type { NewEvent } from '../../streams/new-event.js'
import type { PlanningView } from './planning-view.js'

/** The audited properties of a stream, as text to compare before and after. */
export interface Audited {
  readonly rule: string
  /** Retention settings, for the server's own streams only. */
  readonly retention: string | undefined
}

/**
 * Returns the current audited properties of every stream that the events may change. The key is the stream to which
 * they are appended. Returns undefined when there is none, as for most appends.
 */
export function auditedOf(events: readonly NewEvent[], view: PlanningView): Map<string, Audited> | undefined {
  let audited: Map<string, Audited> | undefined
  for (const { stream } of events) {
    if (!isMetastream(stream) && stream !== SETTINGS) continue
    audited ??= new Map()
    audited.set(stream, { rule: ruleText(stream, view), retention: retentionText(stream, view) })
  }
  return audited
}

function ruleText(stream: string, view: PlanningView): string {
  // Every event in `$settings` counts as a change of rules. So does its metadata, which may hide some of its events.
  return isOfSettings(stream)
    ? String(view.head(stream))
    : JSON.stringify(view.state(originalOf(stream)).metadata.acl ?? {})
}

function retentionText(stream: string, view: PlanningView): string | undefined {
  if (isOfSettings(stream) || !isOwn(originalOf(stream))) return undefined
  const { maxCount: $maxCount, maxAge, truncateBefore: $tb } = view.state(originalOf(stream)).metadata
  return JSON.stringify({ $maxCount, $maxAge: maxAge && maxAge / 1000, $tb })
}

function isOfSettings(stream: string): boolean {
  return stream === SETTINGS || stream === metastreamOf(SETTINGS)
}

/** Plans an audit event for each changed rule or retention, in the same batch as the change. */
export function auditChanges(by: Actor, before: ReadonlyMap<string, Audited>, view: PlanningView): void {
  for (const [stream, { rule, retention }] of before) {
    if (ruleText(stream, view) !== rule) {
      const what = isOfSettings(stream)
        ? { stream, number: view.head(stream) }
        : { stream: originalOf(stream), acl: view.state(originalOf(stream)).metadata.acl ?? {} }
      view.place(auditEvent('AccessRuleChanged', by, what))
    }
    const now = retentionText(stream, view)
    if (now === retention) continue
    const what = { stream: originalOf(stream), retention: JSON.parse(now ?? '{}') as object }
    view.place(auditEvent('RetentionChanged', by, what))
  }
}
