/**
 * Estimates how large an expression becomes when its counted repetitions are expanded, from its text alone. So
 * expressions that would take long to compile are rejected before they are compiled.
 */

const TOKEN = new RegExp(
  [
    String.raw`\\Q[^]*?(?:\\E|$)`, // literal text
    String.raw`\\[pPx]\{[^}]*\}`, // a named class or character
    String.raw`\\[pP][^{]`,
    String.raw`\\[^]`,
    String.raw`\[\^?\]?(?:\[:\^?\w+:\]|\\[^]|[^\]\\])*\]`, // a class
    String.raw`\((?:\?(?:P?<[^>]*>|[imsU-]*[:)]))?`, // the start of a group, or flags
    String.raw`\{\d+(?:,\d*)?\}`,
    '[^]'
  ].join('|'),
  'gu'
)

/** A group that is still open, or the whole expression. */
interface OpenGroup {
  /** Instructions of the group so far, without its last part. */
  before: number
  /** Instructions of its last part. A repetition repeats this part. */
  last: number
}

/** Returns an upper bound of the instructions of a valid expression, rarely more than twice the real number. */
export function writtenOutSize(expression: string): number {
  const open: OpenGroup[] = [{ before: 3, last: 0 }]
  for (const [token] of expression.matchAll(TOKEN)) {
    const group = open.at(-1) as OpenGroup
    if (token.startsWith('(') && !token.endsWith(')')) {
      open.push({ before: token.endsWith(':') ? 0 : 2, last: 0 })
    } else if (token === ')' && open.length > 1) {
      open.pop()
      append(open.at(-1) as OpenGroup, Math.max(group.before + group.last, 3))
    } else if (/^\{\d/.test(token)) {
      repeat(group, token)
    } else if (token === '*' || token === '+' || token === '?') {
      group.last += token === '?' ? 1 : 2
    } else if (token === '|') {
      append(group, 2)
    } else {
      append(group, token.startsWith('\\Q') ? token.length : 1 + CLASS_SIZE * namedClassesIn(token))
    }
  }
  return open.reduce((sum, { before, last }) => sum + before + last, 0)
}

function append(group: OpenGroup, size: number): void {
  group.before += group.last
  group.last = size
}

/** A class such as \pL has hundreds of ranges. It compiles to one instruction, but in the time of a few. */
const CLASS_SIZE = 3

function namedClassesIn(token: string): number {
  return token.match(/\\[pP]/g)?.length ?? 0
}

/** @param counts `{9}`, `{9,}` or `{1,9}` */
function repeat(group: OpenGroup, counts: string): void {
  const most = Math.max(...counts.slice(1, -1).split(',').filter(Boolean).map(Number), 1)
  const exact = !counts.includes(',')
  group.last = group.last * most + (exact ? 0 : most + 2)
}
