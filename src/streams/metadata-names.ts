/**
 * The names of metadata members: readable names, and those of EventStoreDB's form, in which documents are stored
 * (native contract §3, reference 11.1). A member with another name belongs to the user. A misspelt name would be stored
 * without effect, so it is refused. Pure.
 */
import type { MemberFault } from './acl.js'
import { type Members, membersOfDocument } from './metadata.js'

/** Maps the readable names of a document's members to the stored names. */
export const STORED_NAMES: ReadonlyMap<string, string> = new Map([
  ['maxAge', '$maxAge'],
  ['maxCount', '$maxCount'],
  ['truncateBefore', '$tb'],
  ['cacheControl', '$cacheControl'],
  ['acl', '$acl']
])

/** Maps the readable names of the rights in an access rule to the stored names. */
export const STORED_RIGHTS: ReadonlyMap<string, string> = new Map([
  ['read', '$r'],
  ['write', '$w'],
  ['delete', '$d'],
  ['metadataRead', '$mr'],
  ['metadataWrite', '$mw']
])

/** Other names for rights that EventStoreDB's client libraries use, and short forms. */
const OTHER_RIGHTS: readonly (readonly [name: string, readable: string])[] = [
  ['readRoles', 'read'],
  ['writeRoles', 'write'],
  ['deleteRoles', 'delete'],
  ['metaReadRoles', 'metadataRead'],
  ['metaWriteRoles', 'metadataWrite'],
  ['metaRead', 'metadataRead'],
  ['metaWrite', 'metadataWrite']
]

/** A longer name is not taken for a misspelling. */
const LONGEST_SLIP = 24

/** `readable`: the member names of the native form; `stored`: those of EventStoreDB's form. */
export type MetadataForm = 'readable' | 'stored'

/** Words shorter than this are never matched by a letter's difference: too many other words are one letter away. */
const LONG_WORD = 5
/** Words shorter than this may not differ by a changed letter, or one added in the middle: `manage`, `maxPage`. */
const VERY_LONG_WORD = 8

/**
 * Returns the faults of members with a misspelt name: a known name in other case, with a missing or additional `$`, `_`
 * or `-`, with one letter wrong, or in the other form.
 * @param standing the current stored document: members that it has with the same value may stay
 */
export function slipsOf(
  { values: members }: Members,
  form: MetadataForm,
  standing: Buffer | undefined = undefined
): MemberFault[] {
  const rule = form === 'stored' ? '$acl' : 'acl'
  const rights = membersOfDocument(members.get(rule))?.values ?? new Map()
  const slips = slipsAmong(members, spellings(DOCUMENT_WORDS, form))
  const ruleSlips = slipsAmong(rights, spellings(RULE_WORDS, form))
  if (slips.length + ruleSlips.length === 0) return []
  const standingMembers = membersOfDocument(standing)?.values
  const standingRights = membersOfDocument(standingMembers?.get('$acl'))?.values
  return [
    ...slips.filter(isNotIn(standingMembers)).map(({ name, meant }) => slipFault(name, meant)),
    ...ruleSlips.filter(isNotIn(standingRights)).map(({ name, meant }) => slipFault(`${rule}.${name}`, meant))
  ]
}

function isNotIn(standing: ReadonlyMap<string, Buffer> | undefined) {
  const plain = (json: Buffer) => JSON.stringify(JSON.parse(json.toString()))
  return ({ name, value }: Slip) => {
    const present = standing?.get(name)
    return present === undefined || (!present.equals(value) && plain(present) !== plain(value))
  }
}

function slipFault(member: string, meant: string): MemberFault {
  const shown = member.slice(0, 100)
  return { member: shown, why: `"${shown}" would have no effect. Use the name "${meant}" instead.` }
}

/** A name that a misspelling may stand for, and its readable form. */
type Word = readonly [word: string, readable: string]

const DOCUMENT_WORDS = knownWords(STORED_NAMES, [])
const RULE_WORDS = knownWords(STORED_RIGHTS, OTHER_RIGHTS)

interface Words {
  readonly names: ReadonlyMap<string, string>
  readonly words: readonly Word[]
}

interface Spellings {
  /** Correct names in this form. */
  readonly right: ReadonlySet<string>
  /** Bare words (see `bareName`), each with the correct name in this form. */
  readonly meant: ReadonlyMap<string, string>
}

function knownWords(names: ReadonlyMap<string, string>, others: readonly Word[]): Words {
  const words: Word[] = [...names].flatMap(([readable, stored]): Word[] => [
    [readable, readable],
    [stored, readable]
  ])
  return { names, words: [...words, ...others] }
}

function spellings({ names, words }: Words, form: MetadataForm): Spellings {
  const nameOf = (readable: string) => (form === 'readable' ? readable : (names.get(readable) as string))
  return {
    right: new Set([...names.keys()].map(nameOf)),
    meant: new Map(words.map(([word, readable]) => [bareName(word), nameOf(readable)]))
  }
}

interface Slip {
  readonly name: string
  readonly value: Buffer
  readonly meant: string
}

function slipsAmong(members: ReadonlyMap<string, Buffer>, { right, meant }: Spellings): Slip[] {
  const slips: Slip[] = []
  for (const [name, value] of members) {
    if (name.length > LONGEST_SLIP || right.has(name)) continue
    const bare = bareName(name)
    const word = meant.has(bare) ? bare : [...meant.keys()].find((one) => isOneLetterOff(bare, one))
    if (word !== undefined) slips.push({ name, value, meant: meant.get(word) as string })
  }
  return slips
}

/** Returns a name in lower case without `$`, `_`, `-`, `.` and spaces. */
function bareName(name: string): string {
  return name.toLowerCase().replace(/[$_\-. ]/g, '')
}

/** Returns true when one letter was left out, added or changed, or two adjacent letters were exchanged. */
function isOneLetterOff(text: string, word: string): boolean {
  if (word.length < LONG_WORD || Math.abs(text.length - word.length) > 1) return false
  let start = 0
  while (start < word.length && text[start] === word[start]) start++
  const [rest, wanted] = [text.slice(start), word.slice(start)]
  const wasLeftOut = rest === wanted.slice(1)
  const wereExchanged = rest[0] === wanted[1] && rest[1] === wanted[0] && rest.slice(2) === wanted.slice(2)
  if (wasLeftOut || wereExchanged) return true
  const wasAdded = rest.slice(1) === wanted
  if (word.length < VERY_LONG_WORD) return wasAdded && (wanted === '' || text[start] === text[start - 1])
  return wasAdded || rest.slice(1) === wanted.slice(1)
}
