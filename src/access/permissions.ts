/**
 * Rights to streams, decided from a stream's metadata, the settings and the defaults (reference 14.2 to 14.4). Pure. A
 * route checks them before it reads a body; the plan of an append checks them again, because they may have changed.
 */
import { DaybookError } from '../errors.js'
import {
  type Acl,
  type AclEntry,
  aclFaults,
  CLOSED_ACL,
  isObject,
  readAcl,
  unknownRight,
  unknownRightsOf
} from '../streams/acl.js'
import { isMetastream, isSystemStream, originalOf } from '../streams/names.js'

export type Action = 'read' | 'write' | 'delete' | 'readMetadata' | 'writeMetadata'

/** Limits a token or ticket to certain streams, by name or by prefix (`cart-*`). */
export interface Scope {
  readonly read: readonly string[]
  readonly write: readonly string[]
}

/** The caller of a request. Plain data, so that another process can plan its writes. */
export interface Principal {
  /** Undefined: the caller is anonymous. */
  readonly login: string | undefined
  readonly groups: readonly string[]
  /** Limits the rights of the account; undefined: no limit. */
  readonly scope?: Scope | undefined
  /**
   * Creation time of the account, milliseconds since 1970. An older account of the same login belonged to another person.
   */
  readonly since?: number | undefined
  /** Id of the API token with which the caller signed in. */
  readonly token?: string | undefined
  /** Expiry of the sign-in, in milliseconds since 1970. */
  readonly expires?: number | undefined
  /**
   * The version of the account at sign-in: the next change of the account revokes the sign-in. `none`: there is no
   * account, and the sign-in is valid as long as no account has this login. Undefined: the sign-in cannot be revoked.
   */
  readonly accountVersion?: number | 'none' | undefined
  /** How the caller signed in, for the audit. */
  readonly by: 'nothing' | 'password' | 'token' | 'jwt' | 'ticket' | 'insecure'
}

/** The caller, client address and request id, for the audit. */
export interface Actor {
  readonly principal: Principal
  readonly address: string
  readonly requestId: string
}

/** The stream whose latest event has the default rules, for streams without rules of their own (reference 14.4). */
export const SETTINGS = '$settings'

export const ADMINS = '$admins'
export const OPERATORS = '$ops'
export const EVERYBODY = '$all'

/** An anonymous caller. */
export const NOBODY: Principal = { login: undefined, groups: [], by: 'nothing' }

/** Every caller when authentication is switched off. It has all rights. */
export const ANYBODY: Principal = { login: 'system', groups: [ADMINS], by: 'insecure' }

/**
 * Returns true for an administrator, who may see and do everything. A caller with a scope is never an administrator.
 */
export function isAdministrator(principal: Principal): boolean {
  return principal.scope === undefined && hasAdminsRole(principal)
}

/** Returns true for an operator, who runs the server but has no additional rights to streams, or an administrator. */
export function isOperator(principal: Principal): boolean {
  return isAdministrator(principal) || (principal.scope === undefined && principal.groups.includes(OPERATORS))
}

/** Returns true for members of `$admins`, and for the login `admin` in any group or none (reference 14.3). */
export function hasAdminsRole({ login, groups }: Pick<Principal, 'login' | 'groups'>): boolean {
  return groups.includes(ADMINS) || login === 'admin'
}

/** The default rules, for streams without rules of their own (reference 14.4). */
export interface AccessSettings {
  readonly userStreams: Acl
  readonly systemStreams: Acl
  /** True when the role `$all` includes anonymous callers. */
  readonly anonymous: boolean
}

const OWN = /^\$(user-|users$|tokens$|settings$|audit$|consumers$)/

/**
 * Returns true for the server's own streams: accounts, tokens, settings, audit, consumers. Default rules do not apply
 * to them; only the stream's own rule gives rights to callers who are no administrators.
 */
export function isOwn(stream: string): boolean {
  return OWN.test(stream)
}

/** Returns true for streams that only the server may write: its own streams except `$settings`. */
export function isWrittenByServer(stream: string): boolean {
  return isOwn(stream) && stream !== SETTINGS
}

const KEYS = { read: '$r', write: '$w', delete: '$d', readMetadata: '$mr', writeMetadata: '$mw' } as const

/**
 * Reads the default rules from the latest event of `$settings`. A missing member means the built-in default. Invalid
 * settings must not widen access (see `readAcl`): if they have an unknown member or are no JSON object, every right
 * that they do not name is for administrators only.
 * @param document undefined: there are no settings; empty: there are settings, but not as JSON
 */
export function readSettings(document: Buffer | undefined, anonymous: boolean): AccessSettings {
  if (document === undefined) return { userStreams: {}, systemStreams: {}, anonymous }
  const settings = parsedSettings(document)
  const isValid = isObject(settings) && Object.keys(settings).every((name) => SETTINGS_MEMBERS.has(name))
  const rule = (name: string): Acl => {
    const stated = isObject(settings) && Object.hasOwn(settings, name) ? readAcl(settings[name]) : {}
    return isValid ? stated : { ...CLOSED_ACL, ...stated }
  }
  return { userStreams: rule('$userStreamAcl'), systemStreams: rule('$systemStreamAcl'), anonymous }
}

const SETTINGS_MEMBERS = new Set(['$userStreamAcl', '$systemStreamAcl'])

/** Returns the faults of settings, one sentence each; empty when they are valid. */
export function faultsOfSettings(document: Buffer | undefined): string[] {
  const settings = parsedSettings(document)
  if (!isObject(settings)) return ['Settings must be a JSON object.']
  return Object.entries(settings).flatMap(([name, acl]) => {
    if (!SETTINGS_MEMBERS.has(name)) {
      return `Settings have no member "${name.slice(0, 100)}"; use one of ${[...SETTINGS_MEMBERS].join(', ')}.`
    }
    const unknown = unknownRightsOf(acl).map((right) => unknownRight(right, name))
    return [...aclFaults(acl, name), ...unknown].map(({ why }) => why)
  })
}

function parsedSettings(document: Buffer | undefined): unknown {
  try {
    return JSON.parse(document?.toString() ?? '')
  } catch {
    return undefined
  }
}

/** Returns the right that an action on a stream needs, and the stream whose rules decide it. */
export function rightFor(action: Action, stream: string): { action: Action; stream: string } {
  if (!isMetastream(stream)) return { action, stream }
  const reads = action === 'read' || action === 'readMetadata'
  return { action: reads ? 'readMetadata' : 'writeMetadata', stream: originalOf(stream) }
}

/**
 * Returns whether the principal has a right.
 * @param right from `rightFor`
 * @param acl from the metadata of the right's stream; undefined: it has none
 */
export function permits(
  principal: Principal,
  { action, stream }: { action: Action; stream: string },
  acl: Acl | undefined,
  settings: AccessSettings
): boolean {
  if ((action === 'write' || action === 'delete') && isWrittenByServer(stream)) return false
  if (principal.scope !== undefined && !covers(principal.scope, action, stream)) return false
  if (hasAdminsRole(principal)) return true
  const system = isSystemStream(stream)
  const defaults = system ? (isOwn(stream) ? {} : settings.systemStreams) : settings.userStreams
  const { login } = principal
  // System streams always need an account, even if a rule names `$all`.
  const includedInAll = login !== undefined || (settings.anonymous && !system)
  const isRole = (role: string) => {
    if (role === EVERYBODY) return includedInAll
    return login !== undefined && (role === login || principal.groups.includes(role))
  }
  const isNamed = (entry: AclEntry | undefined) => rolesOf(entry ?? (system ? ADMINS : EVERYBODY)).some(isRole)
  const key = KEYS[action]
  if (key !== '$mr' || acl?.$mr !== undefined) return isNamed(acl?.[key] ?? defaults[key])
  // A rule names logins and groups. So without an explicit right, only callers who may read the stream may read its
  // rule.
  const defaultDecides = defaults.$mr !== undefined && acl?.$r === undefined
  return isNamed(defaults.$mr) && (defaultDecides || isNamed(acl?.$r ?? defaults.$r))
}

function rolesOf(entry: AclEntry): readonly string[] {
  return typeof entry === 'string' ? [entry] : entry
}

/** Returns whether a scope covers an action. No scope covers writing metadata, or writing the server's own streams. */
function covers(scope: Scope, action: Action, stream: string): boolean {
  const reads = action === 'read' || action === 'readMetadata'
  if (action === 'writeMetadata' || (!reads && isOwn(stream))) return false
  const names = reads ? scope.read : scope.write
  return names.some((name) => {
    // A pattern covers system streams only if it begins with `$`, as a shell's `*` does not match hidden files.
    if (isSystemStream(stream) && !isSystemStream(name)) return false
    return name.endsWith('*') ? stream.startsWith(name.slice(0, -1)) : stream === name
  })
}

/**
 * Returns the `write` entries of a scope that can take effect: a scope never covers metadata or the server's own
 * streams.
 */
export function writableNames({ write }: Scope): readonly string[] {
  return write.filter((name) => {
    if (isMetastream(name)) return false
    return name.endsWith('*') ? !name.startsWith('$user-') : !isOwn(name)
  })
}

const WORDS: Record<Action, string> = {
  read: 'read',
  write: 'append to',
  delete: 'delete',
  readMetadata: 'read the metadata of',
  writeMetadata: 'write the metadata of'
}

/** Returns the refusal of an action. It does not reveal whether the stream exists. */
export function refusedAccess(principal: Principal, action: Action, stream: string): DaybookError {
  const details = { stream, action, written: false, retry: false }
  if (principal.login === undefined) {
    return new DaybookError('sign-in-required', `Sign in to ${WORDS[action]} "${stream}".`, details)
  }
  const scoped = principal.scope === undefined ? '' : ' with this token'
  const own = isWrittenByServer(stream) ? ' Only the server itself writes to it.' : ''
  const why = `"${principal.login}" may not ${WORDS[action]} "${stream}"${scoped}.${own}`
  return new DaybookError('not-permitted', why, details)
}
