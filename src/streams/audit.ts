/** What `$audit` holds: who changed what in the running of the store, and from where. Secrets never stand in it. */
import { randomFillSync } from 'node:crypto'
import { encodeRecord } from '../log/format.js'
import type { Actor } from './access.js'
import { nameBasedId } from './ids.js'
import { PLAN_IDS } from './metadata.js'
import type { NewEvent } from './planning-view.js'

export const AUDIT = '$audit'

export type AuditType =
  | 'SignInFailed'
  | 'UserCreated'
  | 'UserUpdated'
  | 'UserDeleted'
  | 'UserEnabled'
  | 'UserDisabled'
  | 'PasswordReset'
  | 'PasswordChanged'
  | 'TokenCreated'
  | 'TokenRevoked'
  | 'AccessRuleChanged'
  | 'StreamDeleted'
  | 'CommandGiven'

/**
 * An event that says what was done.
 * @param actor undefined: the server itself, from its settings
 * @param place makes the id when a plan writes it, which may make none up; undefined: a random one
 */
export function auditEvent(type: AuditType, actor: Actor | undefined, what: object, place?: string): NewEvent {
  const id = place === undefined ? randomFillSync(Buffer.alloc(16)) : nameBasedId(PLAN_IDS, `${AUDIT}\n${place}`)
  const who =
    actor === undefined
      ? { who: null, by: 'configuration' }
      : {
          who: actor.principal.login ?? null,
          by: actor.principal.by,
          from: actor.address,
          requestId: actor.requestId
        }
  const data = Buffer.from(JSON.stringify({ ...who, ...what }))
  return { stream: AUDIT, id: undefined, type, record: encodeRecord(AUDIT, { id, clientId: false, type, data }) }
}
