/**
 * The names of metadata: readable ones and those of EventStoreDB's form, in which documents are stored (native contract §3,
 * reference 11.1). A member of another name is the user's own. One that is almost one of these names would be kept and have
 * no effect, so it is refused. Pure.
 */
import type { MemberFault } from './acl.js'
import { type Members, membersOfDocument } from './metadata.js'

/** Members of a document: their readable names, and their names as they are stored. */
export const STORED_NAMES: ReadonlyMap<string, string> = new Map([
  ['maxAge', '$maxAge'],
  ['maxCount', '$maxCount'],
  ['truncateBefore', '$tb'],
  ['cacheControl', '$cacheControl'],
  ['acl', '$acl']
])

/** Rights in an access rule, likewise. */
export const STORED_RIGHTS: ReadonlyMap<string, string> = new Map([
  ['read', '$r'],
  ['write', '$w'],
  ['delete', '$d'],
  ['metadataRead', '$mr'],
  ['metadataWrite', '$mw']
])

/** What clients of EventStoreDB call the members of a rule in their own languages, and other short forms. */
const OTHER_RIGHTS: readonly (readonly [name: string, readable: string])[] = [
  ['readRoles', 'read'],
  ['writeRoles', 'write'],
  ['deleteRoles', 'delete'],
  ['metaReadRoles', 'metadataRead'],
  ['metaWriteRoles', 'metadataWrite'],
  ['metaRead', 'metadataRead'],
  ['metaWrite', 'metadataWrite']
]

/** A longer name is no slip. */
const LONGEST_SLIP = 24

/** `readable`: as the native form names members; `stored`: as EventStoreDB's form does. */
export type MetadataForm = 'readable' | 'stored'

/** In a shorter word one letter less makes another word. */
const LONG_WORD = 5
/** In a shorter word another letter, or one more in its middle, makes another word: `manage`, `maxPage`. */
const VERY_LONG_WORD = 8

/**
 * Members whose names are one slip from a known one: other case, a missing or additional `$`, `_` or `-`, one letter, or the
 * name that the other form uses.
 * @param standing the stored document in force: members that stand there with the same value may stay
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
    const stood = standing?.get(name)
    return stood === undefined || (!stood.equals(value) && plain(stood) !== plain(value))
  }
}

function slipFault(member: string, meant: string): MemberFault {
  const shown = member.slice(0, 100)
  return { member: shown, why: `"${shown}" would have no effect: what is meant is called "${meant}" here.` }
}

/** A word that may be meant, and its readable name. */
type Word = readonly [word: string, readable: string]

const DOCUMENT_WORDS = knownWords(STORED_NAMES, [])
const RULE_WORDS = knownWords(STORED_RIGHTS, OTHER_RIGHTS)

interface Words {
  readonly names: ReadonlyMap<string, string>
  readonly words: readonly Word[]
}

interface Spellings {
  /** Names that are right in this form. */
  readonly right: ReadonlySet<string>
  /** Words without case and signs, and the name in this form of what each means. */
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

/** A name without case and signs. */
function bareName(name: string): string {
  return name.toLowerCase().replace(/[$_\-. ]/g, '')
}

/** True when one letter was left out, added or changed, or two neighbours were exchanged. */
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
