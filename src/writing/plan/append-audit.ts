/** What the audit says of an append: changed access rules, and what hides some of the server's own events. Pure. */

import { auditEvent } from '../../access/audit.js'
import { type Actor, isOwn, SETTINGS } from '../../access/permissions.js'
import { isMetastream, metastreamOf, originalOf } from '../../streams/names.js'
import type { NewEvent } from '../../streams/new-event.js'
import type { PlanningView } from './planning-view.js'

/** What the audit tells of a stream when it changes, as text. */
export interface Audited {
  readonly rule: string
  /** Of what the server keeps of itself: what hides some of it. */
  readonly retention: string | undefined
}

/** What these events may change of it, by the stream that they are appended to; most change nothing. */
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
  // Whatever is written to the settings, or may hide some of them, is a change of them.
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

/** The audit event stands in the same batch as the change of a rule, or of what hides some of the server's own events. */
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
