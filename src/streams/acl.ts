/** Access rules as documents state them (reference 14.3): how they are read, and what is wrong with them. Pure. */

/** To read, append, delete, read the metadata and write it. */
const RIGHTS = ['$r', '$w', '$d', '$mr', '$mw'] as const

type Right = (typeof RIGHTS)[number]

/** One or several user or role names. */
export type AclEntry = string | readonly string[]

/** Who has which right; a right that is not named follows the settings. */
export type Acl = Partial<Record<Right, AclEntry>>

/** Every right is the administrators' alone. */
export const CLOSED_ACL: Acl = { $r: [], $w: [], $d: [], $mr: [], $mw: [] }

/** What cannot be understood in a document. */
export interface MemberFault {
  /** Undefined: the whole document. */
  readonly member?: string
  /** One sentence. */
  readonly why: string
}

/**
 * Reads an access rule so that it opens nothing that it does not say. When part of a rule cannot be understood, the entries
 * that make sense count, and every other right is the administrators' alone, also the right to change the rule.
 */
export function readAcl(value: unknown): Acl {
  if (!isObject(value)) return CLOSED_ACL
  const understood = aclFaults(value).length + unknownRightsOf(value).length === 0
  const acl: Acl = {}
  for (const right of RIGHTS) {
    const entry = Object.hasOwn(value, right) ? value[right] : undefined
    if (isEntry(entry)) acl[right] = entry
    else if (!understood) acl[right] = []
  }
  return acl
}

/** What is wrong with the rights that an access rule names. @param name what the rule is called */
export function aclFaults(acl: unknown, name = '$acl'): MemberFault[] {
  if (!isObject(acl)) return [{ member: name, why: `"${name}" is a JSON object.` }]
  return RIGHTS.flatMap((right) => {
    const member = `${name}.${right}`
    if (!Object.hasOwn(acl, right) || isEntry(acl[right])) return []
    return { member, why: `"${member}" is the name of a user or role, or an array of them.` }
  })
}

/** The members of an access rule that are no rights. */
export function unknownRightsOf(acl: unknown): string[] {
  return isObject(acl) ? Object.keys(acl).filter((name) => !(RIGHTS as readonly string[]).includes(name)) : []
}

/** @param right a member of the rule `name` that is no right */
export function unknownRight(right: string, name = '$acl'): MemberFault {
  const member = `${name}.${right.slice(0, 100)}`
  return { member, why: `There is no "${right.slice(0, 100)}" in "${name}"; known: ${RIGHTS.join(', ')}.` }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isEntry(entry: unknown): entry is AclEntry {
  const isName = (one: unknown) => typeof one === 'string'
  return isName(entry) || (Array.isArray(entry) && entry.every(isName))
}
