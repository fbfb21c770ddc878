/**
 * Events of the `$audit` stream: administrative changes, each with the account and the address of the caller. They
 * contain no secrets.
 */

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

/** Returns true when the actor's changes of streams are audited: always, unless authentication is switched off. */
export function isAudited(actor: Actor | undefined): actor is Actor {
  return actor !== undefined && actor.principal.by !== 'insecure'
}

/**
 * Returns an audit event.
 * @param actor undefined: the server itself, because of its configuration
 * @param what members of the event that describe the change
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
