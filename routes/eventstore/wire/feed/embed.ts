/** `?embed=`: how much of each event a feed includes (reference 4, 8.2). */

export type Embed = 'none' | 'content' | 'rich' | 'body' | 'pretty' | 'tryharder'

const LEVELS = new Set<string>(['content', 'rich', 'body', 'pretty', 'tryharder'])

/** Parses the value of `?embed=`. Unknown values mean `none`. */
export function embedOf(value: string | null): Embed {
  const level = value?.toLowerCase() ?? ''
  return LEVELS.has(level) ? (level as Embed) : 'none'
}

/** Returns true when entries include members of their event in addition to those of every entry. */
export function isRich(embed: Embed): boolean {
  return embed !== 'none' && embed !== 'content'
}

/** Returns true when entries also include the data of their event. */
export function hasBody(embed: Embed): boolean {
  return isRich(embed) && embed !== 'rich'
}
