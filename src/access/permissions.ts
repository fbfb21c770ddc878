/**
 * Rights to streams: pure rules over what its metadata, the settings and the defaults say (reference 14.2 to
 * 14.4). The route asks before it takes a body, the plan of an append asks again as the log stands by then.
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

/** What a token or ticket may be used for, at most: streams by name, or by the start of it (`cart-*`). */
export interface Scope {
  readonly read: readonly string[]
  readonly write: readonly string[]
}

/** The caller of a request. Plain data: what is written for it can be decided in another process. */
export interface Principal {
  /** Undefined: the caller has not signed in. */
  readonly login: string | undefined
  readonly groups: readonly string[]
  /** Less than the account may do. */
  readonly scope?: Scope | undefined
  /** When the account was made, milliseconds: an older account of the same login belonged to another person. */
  readonly since?: number | undefined
  /** Id of the API token with which it signed in. */
  readonly token?: string | undefined
  /** When its rights end by themselves, milliseconds. */
  readonly expires?: number | undefined
  /**
   * The version of the account that it signed in to: the next change of the account ends the sign-in. `none`: it has no
   * account here, and is signed in as long as no account has its login. Undefined: nothing ends it.
   */
  readonly accountVersion?: number | 'none' | undefined
  /** How it signed in, for the audit. */
  readonly by: 'nothing' | 'password' | 'token' | 'jwt' | 'ticket' | 'insecure'
}

/** The caller and its address: what the audit says of a change. */
export interface Actor {
  readonly principal: Principal
  /** Address of the client. */
  readonly address: string
  readonly requestId: string
}

/** The stream whose latest event says what holds for streams without rules of their own (reference 14.4). */
export const SETTINGS = '$settings'

export const ADMINS = '$admins'
export const OPERATORS = '$ops'
export const EVERYBODY = '$all'

/** A caller who has not signed in. */
export const NOBODY: Principal = { login: undefined, groups: [], by: 'nothing' }

/** Every caller of a server whose authentication is switched off: it may do everything. */
export const ANYBODY: Principal = { login: 'system', groups: [ADMINS], by: 'insecure' }

/** Administrators may do everything that anybody may, and see everything; not with a token that says less. */
export function isAdministrator(principal: Principal): boolean {
  return principal.scope === undefined && hasAdminsRole(principal)
}

/** Operators run the server; they read no more than others. */
export function isOperator(principal: Principal): boolean {
  return isAdministrator(principal) || (principal.scope === undefined && principal.groups.includes(OPERATORS))
}

/** `admin` has it by name, whatever its groups (reference 14.3). */
export function hasAdminsRole({ login, groups }: Pick<Principal, 'login' | 'groups'>): boolean {
  return groups.includes(ADMINS) || login === 'admin'
}

/** What holds for streams that have no rule of their own (reference 14.4), and for whom `$all` stands. */
export interface AccessSettings {
  readonly userStreams: Acl
  readonly systemStreams: Acl
  /** `$all` includes callers who have not signed in. */
  readonly anonymous: boolean
}

const OWN = /^\$(user-|users$|tokens$|settings$|audit$|consumers$)/

/** What the server keeps of itself: accounts, tokens, rules, what was done. Only a rule of its own opens such a stream. */
export function isOwn(stream: string): boolean {
  return OWN.test(stream)
}

/** Of what the server keeps of itself nobody but the server writes anything, except the settings. */
export function isWrittenByServer(stream: string): boolean {
  return isOwn(stream) && stream !== SETTINGS
}

const KEYS = { read: '$r', write: '$w', delete: '$d', readMetadata: '$mr', writeMetadata: '$mw' } as const

/**
 * What the latest event of `$settings` says; a member that is missing leaves the built-in default. Settings that make no
 * sense open nothing (see `readAcl`): with an unknown member, or when they are no JSON object, each right that is not
 * named is the administrators' alone.
 * @param document undefined: there are no settings; empty: there are, and not as JSON
 */
export function readSettings(document: Buffer | undefined, anonymous: boolean): AccessSettings {
  if (document === undefined) return { userStreams: {}, systemStreams: {}, anonymous }
  const settings = parsedSettings(document)
  const understood = isObject(settings) && Object.keys(settings).every((name) => SETTINGS_MEMBERS.has(name))
  const rule = (name: string): Acl => {
    const stated = isObject(settings) && Object.hasOwn(settings, name) ? readAcl(settings[name]) : {}
    return understood ? stated : { ...CLOSED_ACL, ...stated }
  }
  return { userStreams: rule('$userStreamAcl'), systemStreams: rule('$systemStreamAcl'), anonymous }
}

const SETTINGS_MEMBERS = new Set(['$userStreamAcl', '$systemStreamAcl'])

/** What is wrong with settings, one sentence each. */
export function faultsOfSettings(document: Buffer | undefined): string[] {
  const settings = parsedSettings(document)
  if (!isObject(settings)) return ['Settings are a JSON object.']
  return Object.entries(settings).flatMap(([name, acl]) => {
    if (!SETTINGS_MEMBERS.has(name)) {
      return `There is no "${name.slice(0, 100)}" in settings; known: ${[...SETTINGS_MEMBERS].join(', ')}.`
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

/** The right that an action on a stream needs, and the stream whose rules say who has it. */
export function rightFor(action: Action, stream: string): { action: Action; stream: string } {
  if (!isMetastream(stream)) return { action, stream }
  const reads = action === 'read' || action === 'readMetadata'
  return { action: reads ? 'readMetadata' : 'writeMetadata', stream: originalOf(stream) }
}

/**
 * @param right as `rightFor` gives it
 * @param acl what the metadata of the right's stream says
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
  const usual = system ? (isOwn(stream) ? {} : settings.systemStreams) : settings.userStreams
  const { login } = principal
  // System streams always need an account, whatever a rule says.
  const everybody = login !== undefined || (settings.anonymous && !system)
  const isRole = (role: string) => {
    if (role === EVERYBODY) return everybody
    return login !== undefined && (role === login || principal.groups.includes(role))
  }
  const isNamed = (entry: AclEntry | undefined) => rolesOf(entry ?? (system ? ADMINS : EVERYBODY)).some(isRole)
  const key = KEYS[action]
  if (key !== '$mr' || acl?.$mr !== undefined) return isNamed(acl?.[key] ?? usual[key])
  // A rule names logins and groups, so by itself it is shown only to those who may read the stream.
  const isSettled = usual.$mr !== undefined && acl?.$r === undefined
  return isNamed(usual.$mr) && (isSettled || isNamed(acl?.$r ?? usual.$r))
}

function rolesOf(entry: AclEntry): readonly string[] {
  return typeof entry === 'string' ? [entry] : entry
}

/** With a token nobody administrates: it changes no rules, and nothing that the server keeps of itself. */
function covers(scope: Scope, action: Action, stream: string): boolean {
  const reads = action === 'read' || action === 'readMetadata'
  if (action === 'writeMetadata' || (!reads && isOwn(stream))) return false
  const names = reads ? scope.read : scope.write
  return names.some((name) => {
    // As a shell's `*` leaves hidden files alone, one that names no `$` leaves system streams alone.
    if (isSystemStream(stream) && !isSystemStream(name)) return false
    return name.endsWith('*') ? stream.startsWith(name.slice(0, -1)) : stream === name
  })
}

/**
 * The entries of a scope that may let something be written. No token covers metadata or what the server keeps of itself.
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

/** Why an action is refused; whether the stream is there is not said. */
export function refusedAccess(principal: Principal, action: Action, stream: string): DaybookError {
  const details = { stream, action, written: false, retry: false }
  if (principal.login === undefined) {
    return new DaybookError('sign-in-required', `To ${WORDS[action]} "${stream}", sign in.`, details)
  }
  const scoped = principal.scope === undefined ? '' : ' with this token'
  const own = isWrittenByServer(stream) ? ' The server writes it, and nobody else.' : ''
  const why = `"${principal.login}" may not ${WORDS[action]} "${stream}"${scoped}.${own}`
  return new DaybookError('not-permitted', why, details)
}
