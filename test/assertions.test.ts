/** No assertion of a test is written so that it cannot fail. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { root } from './helpers/project.js'

/** An assertion: `t.match(found, wanted)`. */
interface Assertion {
  readonly node: ts.CallExpression
  readonly name: string
  readonly found: ts.Expression | undefined
  readonly wanted: ts.Expression | undefined
}

/** Why an assertion cannot fail; undefined: it can. */
type Rule = (assertion: Assertion) => string | undefined

const asPattern = new Set(['match', 'rejects', 'throws'])

const rules: readonly Rule[] = [
  ({ name, found }) =>
    name === 'ok' && found !== undefined && isTruthy(found) ? 'the value is always truthy' : undefined,
  ({ name, found }) =>
    name === 'ok' && /^\[[^\]]*\]\.includes\(\w*\.?status/.test(found?.getText() ?? '')
      ? 'it allows more than one status'
      : undefined,
  ({ name, found, wanted }) =>
    name !== 'not' &&
    name !== 'notSame' &&
    found !== undefined &&
    found.getText() === wanted?.getText() &&
    isPure(found)
      ? 'it compares a value with itself'
      : undefined,
  ({ name, wanted }) =>
    asPattern.has(name) && /^(\{\}|''|Object|undefined)$/.test(wanted?.getText() ?? '')
      ? 'the pattern matches everything'
      : undefined,
  ({ name, wanted }) =>
    asPattern.has(name) && wanted !== undefined && ts.isRegularExpressionLiteral(wanted) && isLoose(wanted.text)
      ? 'the expression matches every text'
      : undefined,
  ({ node, name }) =>
    (name === 'rejects' || name === 'resolves') && ts.isExpressionStatement(node.parent)
      ? 'nobody waits for it'
      : undefined
]

function isTruthy(node: ts.Expression): boolean {
  if (ts.isArrayLiteralExpression(node) || ts.isObjectLiteralExpression(node) || ts.isArrowFunction(node)) return true
  if (ts.isStringLiteralLike(node) || ts.isNumericLiteral(node)) return node.text !== '' && Number(node.text) !== 0
  return node.kind === ts.SyntaxKind.TrueKeyword
}

function isPure(node: ts.Node): boolean {
  return !ts.isCallExpression(node) && !ts.isAwaitExpression(node) && !node.getChildren().some((one) => !isPure(one))
}

function isLoose(literal: string): boolean {
  const [, source = '', flags] = /^\/(.*)\/(\w*)$/s.exec(literal) ?? []
  return new RegExp(source, flags).test('')
}

/** The assertions in a text, each with its line. */
function* assertionsIn(text: string): Generator<Assertion & { readonly line: number }> {
  const tree = ts.createSourceFile('x.ts', text, ts.ScriptTarget.Latest, true)
  const nodes: ts.Node[] = [tree]
  for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
    ts.forEachChild(node, (child) => void nodes.push(child))
    if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) continue
    const { expression, name } = node.expression
    if (!/(^|\.#?)t$/.test(expression.getText())) continue
    const [found, wanted] = node.arguments
    const line = tree.getLineAndCharacterOfPosition(node.getStart()).line + 1
    yield { node, name: name.text, found, wanted, line }
  }
}

function faultOf(assertion: Assertion): string | undefined {
  for (const rule of rules) {
    const fault = rule(assertion)
    if (fault !== undefined) return fault
  }
  return undefined
}

t.test('every rule finds the code that it forbids, and no other code', (t) => {
  const bad = [
    't.ok(true)',
    "t.ok('text')",
    't.ok([201, 503].includes(answer.status))',
    't.ok([201, 503].includes(statusCode))',
    't.equal(a.b, a.b)',
    't.match(answer, {})',
    "t.match(text, '')",
    't.match(text, /.*/)',
    't.match(text, /a?/)',
    'async () => { t.rejects(work(), { code: 1 }) }'
  ]
  const good = [
    't.ok(names.includes(status))',
    't.ok(value)',
    't.equal(await id(), await id())',
    't.not(a, a)',
    't.match(answer, { code: 1 })',
    't.match(text, /a+/)',
    'async () => { await t.rejects(work(), { code: 1 }) }',
    'const refused = t.rejects(work(), { code: 1 })'
  ]
  const isFound = (text: string) => [...assertionsIn(text)].some((one) => faultOf(one) !== undefined)
  t.same(
    bad.filter((text) => !isFound(text)),
    []
  )
  t.same(good.filter(isFound), [])
  t.end()
})

t.test('every assertion of the tests can fail', (t) => {
  const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  let count = 0
  for (const file of files.filter((name) => name.endsWith('.ts'))) {
    for (const assertion of assertionsIn(readFileSync(join(root, 'test', file), 'utf8'))) {
      count++
      const fault = faultOf(assertion)
      if (fault !== undefined)
        t.fail(`test/${file}:${assertion.line}: ${fault}: ${assertion.node.getText().slice(0, 100)}`)
    }
  }
  t.ok(count > 4000, `${count} assertions were found`)
  t.end()
})

t.test('a pattern of a list matches only a list of the same length', async (t) => {
  const { match } = await import('tcompare')
  t.equal(match({ list: [1] }, { list: [] }).match, false)
  t.equal(match([{ a: 1 }, { a: 2 }], [{ a: 1 }]).match, false)
  t.equal(match([{ a: 1, b: 1 }, { a: 2 }], [{ a: 1 }, { a: Number }]).match, true)
  t.equal(match({ list: [] }, { list: [] }).match, true)
})
