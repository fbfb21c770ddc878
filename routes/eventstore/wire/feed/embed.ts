/** How much of its events a feed carries (reference 4, 8.2). */

export type Embed = 'none' | 'content' | 'rich' | 'body' | 'pretty' | 'tryharder'

const LEVELS = new Set<string>(['content', 'rich', 'body', 'pretty', 'tryharder'])

/** @param word of `?embed=`; every other word means none */
export function embedOf(word: string | null): Embed {
  const level = word?.toLowerCase() ?? ''
  return LEVELS.has(level) ? (level as Embed) : 'none'
}

/** True when an entry carries the members of its event beside what every entry has. */
export function isRich(embed: Embed): boolean {
  return embed !== 'none' && embed !== 'content'
}

/** True when it carries the event's data too. */
export function hasBody(embed: Embed): boolean {
  return isRich(embed) && embed !== 'rich'
}
