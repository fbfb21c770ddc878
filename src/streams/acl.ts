/** Reads and validates access rules in documents (reference 14.3). Pure. */

/** The rights to read, append, delete, read metadata and write metadata. */
const RIGHTS = ['$r', '$w', '$d', '$mr', '$mw'] as const

type Right = (typeof RIGHTS)[number]

/** One or more user or role names. */
export type AclEntry = string | readonly string[]

/** The users and roles that have each right. The default rules decide a right that is not named. */
export type Acl = Partial<Record<Right, AclEntry>>

/** The rule that gives every right to administrators only. */
export const CLOSED_ACL: Acl = { $r: [], $w: [], $d: [], $mr: [], $mw: [] }

/** A fault of a document. */
export interface MemberFault {
  /** The faulty member; undefined: the whole document. */
  readonly member?: string
  /** The reason, as one or more sentences. */
  readonly why: string
}

/**
 * Reads an access rule. A faulty rule must not widen access: its valid entries count, and every other right is for
 * administrators only, including the right to change the rule.
 */
export function readAcl(value: unknown): Acl {
  if (!isObject(value)) return CLOSED_ACL
  const isValid = aclFaults(value).length + unknownRightsOf(value).length === 0
  const acl: Acl = {}
  for (const right of RIGHTS) {
    const entry = Object.hasOwn(value, right) ? value[right] : undefined
    if (isEntry(entry)) acl[right] = entry
    else if (!isValid) acl[right] = []
  }
  return acl
}

/** Returns the faults of the rights in an access rule; empty when there are none. @param name of the rule's member */
export function aclFaults(acl: unknown, name = '$acl'): MemberFault[] {
  if (!isObject(acl)) return [{ member: name, why: `"${name}" must be a JSON object.` }]
  return RIGHTS.flatMap((right) => {
    const member = `${name}.${right}`
    if (!Object.hasOwn(acl, right) || isEntry(acl[right])) return []
    return { member, why: `"${member}" must be the name of a user or role, or an array of such names.` }
  })
}

/** Returns the names of an access rule's members that are not rights. */
export function unknownRightsOf(acl: unknown): string[] {
  return isObject(acl) ? Object.keys(acl).filter((name) => !(RIGHTS as readonly string[]).includes(name)) : []
}

/** Returns the fault of a member that is not a right. @param name of the rule's member */
export function unknownRight(right: string, name = '$acl'): MemberFault {
  const member = `${name}.${right.slice(0, 100)}`
  return { member, why: `Unknown right "${right.slice(0, 100)}" in "${name}"; use one of ${RIGHTS.join(', ')}.` }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isEntry(entry: unknown): entry is AclEntry {
  const isName = (name: unknown) => typeof name === 'string'
  return isName(entry) || (Array.isArray(entry) && entry.every(isName))
}
