/** Expressions: they match as RE2 does, are limited before they are compiled, and cache their answers. */
import { RE2JS } from 're2js'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { writtenOutSize } from '../../src/reading/expressions/expression-size.js'
import { Expressions } from '../../src/reading/expressions/expressions.js'
import { AnswerMemory, NameAnswers } from '../../src/reading/expressions/name-answers.js'
import { type Random, seeded } from '../helpers/random.js'

/** Returns a random expression in RE2 syntax. Most are valid. */
function randomExpression(random: Random, depth = 3): string {
  const part = () => randomExpression(random, depth - 1)
  const forms: (() => string)[] = [
    () =>
      random.pick(['a', 'b', 'c', '0', '-', '.', '\\d', '\\w', '\\b', '^', '$', '', 'ä', '😀', '\\x41', '\\x{1F600}']),
    () =>
      random.pick([
        '[a-c]',
        '[^a]',
        '[]a]',
        '[[:alpha:]-]',
        '[\\]b]',
        '[^]]',
        '[(]',
        '[{]',
        '\\pL',
        '\\p{Greek}',
        '\\PN'
      ]),
    () => random.pick(['\\Q(a{2}\\E', '\\Qab\\E', '{', 'a{,3}', '\\(', '\\{', '\\\\', '(?i)', 'ab', 'abc'])
  ]
  if (depth > 0) {
    const repetition = random.pick(['*', '+', '?', '*?', '{2}', '{0}', '{1,3}', '{2,}', '{0,4}', '{3}?'])
    forms.push(
      () => part() + part() + part(),
      () => `(${part()})${repetition}`,
      () => `(?:${part()})${repetition}`,
      () => `(?P<n${random.int(0, 1e6)}>${part()})`,
      () => `(?i:${part()})${repetition}`,
      () => `${random.pick(['a', '.', '[ab]', '\\pL', '\\Qab\\E'])}${repetition}`,
      () => `(${part()}|${part()}|${random.pick(['', 'a'])})`
    )
  }
  return random.pick(forms)()
}

function compiled(expression: string): RE2JS | undefined {
  try {
    return RE2JS.compile(expression)
  } catch {
    return undefined
  }
}

t.test(
  'a list of expressions matches as each does alone in RE2, and its size never exceeds the estimate',
  async (t) => {
    const random = seeded(t)
    let valid = 0
    for (let i = 0; i < 6000; i++) {
      const lists = Array.from({ length: random.int(1, 3) }, () => randomExpression(random))
      const expected = lists.map(compiled)
      if (expected.some((one) => one === undefined)) continue
      valid++
      const estimate = lists.reduce((sum, one) => sum + writtenOutSize(one), 0)
      const size = expected.reduce((sum, one) => sum + (one as RE2JS).programSize(), 0)
      if (estimate < size) t.fail(`${lists}: estimated ${estimate} instructions, compiled to ${size}`)
      if (estimate > limits.expression_size_max) continue
      const [expression] = new Expressions().ofRead([lists])
      for (let j = 0; j < 10; j++) {
        const name = Array.from({ length: random.int(0, 12) }, () =>
          random.pick(['a', 'b', 'c', 'A', '0', '-', '\n', ' ', 'ä', '(', '{', '😀', 'λ'])
        ).join('')
        const found = expected.some((one) => (one as RE2JS).matcher(name).find())
        if (expression?.finds(name, name) !== found) t.fail(`${lists.join('  or  ')} in ${JSON.stringify(name)}`)
      }
    }
    t.ok(valid > 500, `${valid} expressions are valid`)
  }
)

t.test('an expression that is too large is rejected before it is compiled, with its size and the limit', async (t) => {
  const huge = [
    '(a{1000}){1000}',
    `((${'a'.repeat(900)}){10}){100}`,
    'a{1000}'.repeat(140),
    '(((.?){20}){20}){20}',
    '\\pL{1000}'.repeat(3)
  ]
  for (const expression of huge) {
    t.throws(() => new Expressions().ofRead([[expression]]), { code: 'bad-expression', details: { limit: 1000 } })
  }
  // Just above the limit, so that only the compiler can tell.
  t.throws(() => new Expressions().ofRead([['(.?){300}']]), { code: 'bad-expression', details: { size: 1202 } })
  t.throws(
    () => new Expressions().ofRead([['(.?){200}'], ['(.?){100}']]),
    { code: 'bad-expression' },
    'the limit is for all expressions of a read'
  )
  for (const usual of [
    '^cart-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
    '(?i)order(ed)?$',
    'a'.repeat(990),
    '\\pL{100}'
  ]) {
    t.ok(new Expressions().ofRead([[usual]])[0], usual)
  }
})

t.test('an expression is compiled once, as long as it is cached or in use by a live read', async (t) => {
  const expressions = new Expressions()
  const [first] = expressions.ofRead([['^a']])
  t.equal(expressions.ofRead([['^a']])[0], first)
  expressions.follow([first as NonNullable<typeof first>])
  for (let i = 0; i < 500; i++) expressions.ofRead([[`^b${i}.{50}`]])
  t.equal(expressions.ofRead([['^a']])[0], first, 'it is the same after many others')
})

t.test('the cache holds 17,000 names of a hot expression, and never exceeds its size', async (t) => {
  const memory = new AnswerMemory(limits.expression_answers_bytes_default)
  const hot = new NameAnswers(memory)
  const names = Array.from({ length: 17_000 }, (_, i) => `cart-0a1b2c3d-0000-4000-8000-${String(i).padStart(12, '0')}`)
  for (let round = 0; round < 5; round++) {
    for (const [i, name] of names.entries()) {
      if (round === 0) hot.set(name, i % 2 === 0)
      else if (hot.get(name) !== (i % 2 === 0)) t.fail(`round ${round} has lost ${name}`)
    }
  }
  const small = new AnswerMemory(100 * 1024)
  const many = Array.from({ length: 50 }, () => new NameAnswers(small))
  for (const answers of many) for (const name of names.slice(0, 1000)) answers.set(name, true)
  const held = many.reduce((sum, answers) => sum + names.filter((name) => answers.get(name) !== undefined).length, 0)
  t.ok(held > 300 && held * 100 <= 2 * 100 * 1024, `${held} answers of some 105 bytes in 100 KiB`)
})

t.test('live reads with too many different expressions are rejected', async (t) => {
  const expressions = new Expressions()
  const many = Array.from({ length: 2000 }, (_, i) => expressions.ofRead([[`^user-${i}-.{20}`]]))
  let followed = 0
  try {
    for (const one of many) {
      expressions.follow(one)
      followed++
    }
  } catch (error) {
    t.match(error, { code: 'overloaded', details: { limit: limits.followed_size_max, retry: true } })
  }
  t.ok(followed > 500 && followed < 2000, `${followed} expressions are in use`)
  const [first, last] = [many[0], many.at(-1)] as [(typeof many)[0], (typeof many)[0]]
  t.doesNotThrow(() => expressions.follow(first), 'another reader with the same expression does not count')
  t.throws(() => expressions.checkRoom(last), { code: 'overloaded' })
  t.doesNotThrow(() => expressions.checkRoom([]), 'a reader without expressions is always accepted')
  expressions.unfollow(first)
  t.throws(() => expressions.checkRoom(last), { code: 'overloaded' }, 'one of its two readers has left')
  expressions.unfollow(first)
  t.doesNotThrow(() => expressions.follow(last), 'both readers have left')
})
