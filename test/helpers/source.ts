/** The project's own source as the compiler parses it, for tests of its structure. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import ts from 'typescript'
import { root } from './project.js'

/** Every file of src, routes and schemas, except type declarations for foreign code. */
export const files: readonly string[] = ['src', 'routes', 'schemas'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => join(folder, name))
)

/** A function or a call that a rule is about. */
export interface Site {
  /** `file:line`, from 1. */
  readonly place: string
  /** The name of the function or of what is called; `(nameless)` for a function expression without a name. */
  readonly name: string
  /** Number of lines, from the first to the last. */
  readonly lines: number
  /** Parameters of a function, arguments of a call. */
  readonly arity: number
}

/** What the rules need to know of one file. */
export interface SourceFile {
  readonly text: string
  readonly lines: number
  readonly functions: readonly Site[]
  readonly calls: readonly Site[]
  /** Functions, classes, interfaces and types at the top of the file, exported or not. */
  readonly names: readonly string[]
  /** The modules that it imports, in any form, as they are written there; `COMPUTED` for one that no literal names. */
  readonly specifiers: readonly string[]
}

/** Stands for a module whose name the program computes. */
export const COMPUTED = '(computed)'

const read = new Map<string, SourceFile>()

/** Returns what the rules need to know of a file. Parses each file once. @param file path as in `files` */
export function readSource(file: string): SourceFile {
  const known = read.get(file) ?? parse(file)
  read.set(file, known)
  return known
}

function parse(file: string): SourceFile {
  return parseSource(file, readFileSync(join(root, file), 'utf8'))
}

/** What a text holds, as if it stood in a file. */
export function parseSource(file: string, text: string): SourceFile {
  const tree = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const functions: Site[] = []
  const calls: Site[] = []
  const specifiers: string[] = []
  const lineOf = (position: number) => tree.getLineAndCharacterOfPosition(position).line + 1
  const siteOf = (node: ts.Node, name: string, arity: number): Site => {
    const first = lineOf(node.getStart())
    return { place: `${file}:${first}`, name, lines: lineOf(node.end) - first + 1, arity }
  }
  const visit = (node: ts.Node): void => {
    specifiers.push(...specifiersAt(node))
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      functions.push(siteOf(node, nameOfFunction(node), node.parameters.length))
    } else if (ts.isCallExpression(node) || ts.isNewExpression(node)) {
      const given = (node.arguments ?? []).filter((argument) => !ts.isSpreadElement(argument))
      calls.push(siteOf(node, node.expression.getText(), given.length))
    }
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return { text, lines: text.split('\n').length - 1, functions, calls, names: namesAtTop(tree), specifiers }
}

/** Returns the files of this project that a file imports. */
export function importsOf(file: string): string[] {
  return specifiersOf(file)
    .filter((name) => name.startsWith('.'))
    .map((name) => relative(root, join(root, dirname(file), name)).replace(/\.js$/, '.ts'))
}

/** The modules that a file imports, as they are written there. */
export function specifiersOf(file: string): readonly string[] {
  return readSource(file).specifiers
}

/** The module that a node imports, if it is an import of any form. */
function specifiersAt(node: ts.Node): string[] {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return literalOf(node.moduleSpecifier)
  if (ts.isExternalModuleReference(node)) return literalOf(node.expression)
  if (ts.isImportTypeNode(node)) return literalOf(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : node)
  const imports = ts.isCallExpression(node) && (isImportKeyword(node.expression) || isRequire(node.expression))
  return imports ? literalOf(node.arguments[0] ?? node) : []
}

/** @param node undefined: nothing is imported */
function literalOf(node: ts.Node | undefined): string[] {
  if (node === undefined) return []
  return [ts.isStringLiteralLike(node) ? node.text : COMPUTED]
}

const isImportKeyword = ({ kind }: ts.Node) => kind === ts.SyntaxKind.ImportKeyword

/** Matches calls of `require`, `require.resolve` and `import.meta.resolve`. */
function isRequire(called: ts.Node): boolean {
  return /^(require(\.resolve)?|import\.meta\.resolve)$/.test(called.getText().replace(/\s/g, ''))
}

function nameOfFunction(node: ts.SignatureDeclaration): string {
  const { parent } = node
  if (node.name !== undefined) return node.name.getText()
  const named = ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent)
  return named ? parent.name.getText() : '(nameless)'
}

function namesAtTop(tree: ts.SourceFile): string[] {
  const names = tree.statements.flatMap((statement) => {
    if (ts.isVariableStatement(statement)) {
      return statement.declarationList.declarations.flatMap(({ name, initializer }) =>
        initializer !== undefined && ts.isArrowFunction(initializer) ? name.getText() : []
      )
    }
    const declares =
      ts.isFunctionDeclaration(statement) ||
      ts.isClassDeclaration(statement) ||
      ts.isInterfaceDeclaration(statement) ||
      ts.isTypeAliasDeclaration(statement)
    return declares && statement.name !== undefined ? statement.name.text : []
  })
  return [...new Set(names)]
}
