/** Indents JSON without changing its tokens. */

const INDENT = '  '

/** Limit of the growth factor: deep nesting needs much white space. */
const GROWTH_MAX = 8

/** Returns the indented JSON, or the input when it would grow too much. @param json valid JSON, as text or bytes */
export function indentJson(json: string): string {
  const longest = GROWTH_MAX * json.length + 1000
  let text = ''
  let depth = 0
  for (let i = 0; i < json.length; i++) {
    if (text.length > longest) return json
    const character = json[i] as string
    if (character === '"') {
      const end = endOfString(json, i)
      text += json.slice(i, end)
      i = end - 1
    } else if (character === '{' || character === '[') {
      const next = nextToken(json, i + 1)
      const closing = json[next]
      if (closing === '}' || closing === ']') {
        text += character + closing
        i = next
      } else text += character + lineBreak(++depth)
    } else if (character === '}' || character === ']') text += lineBreak(--depth) + character
    else if (character === ',') text += character + lineBreak(depth)
    else if (character === ':') text += ': '
    else if (!/\s/.test(character)) text += character
  }
  return text
}

function lineBreak(depth: number): string {
  return `\n${INDENT.repeat(depth)}`
}

function endOfString(json: string, start: number): number {
  let at = start + 1
  while (json[at] !== '"') at += json[at] === '\\' ? 2 : 1
  return at + 1
}

function nextToken(json: string, from: number): number {
  let at = from
  while (/\s/.test(json[at] ?? '')) at++
  return at
}
