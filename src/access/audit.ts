/** Events of `$audit`: which account changed what in the running of the store, and from which address. They hold no secrets. */

import type { NewEvent } from '../streams/new-event.js'
import { serverEvent } from '../streams/new-event.js'
import type { Actor } from './permissions.js'

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
  | 'RetentionChanged'
  | 'StreamDeleted'
  | 'CommandGiven'

/** Changes of streams are audited, unless authentication is switched off: then no caller is known. */
export function isAudited(actor: Actor | undefined): actor is Actor {
  return actor !== undefined && actor.principal.by !== 'insecure'
}

/**
 * An event that says what was done.
 * @param actor undefined: the server itself, from its settings
 */
export function auditEvent(type: AuditType, actor: Actor | undefined, what: object): NewEvent {
  const who =
    actor === undefined
      ? { who: null, by: 'configuration' }
      : {
          who: actor.principal.login ?? null,
          by: actor.principal.by,
          from: actor.address,
          requestId: actor.requestId
        }
  return serverEvent(AUDIT, type, { ...who, ...what })
}
