/** `npm run bench -- --against COMMIT`: what it builds, what it cleans up, and how it compares two builds. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { withBuild } from '../../bench/support/builds.js'
import { Report } from '../../bench/support/report.js'
import { compiledScript, projectFile } from '../helpers/project.js'

const skip = spawnSync('git', ['--version']).error !== undefined && 'git is not installed'
const modules = projectFile('node_modules')
const builds = pathToFileURL(compiledScript('bench/support/builds.ts')).href

t.test(
  'a commit is built in its own worktree with the installed packages, and the worktree is removed',
  { skip },
  async (t) => {
    const root = repository(t, 'export const a = 1')
    writeFileSync(join(root, 'main.ts'), 'export const a = 2')
    const folder = await withBuild(
      'HEAD',
      async (build) => {
        t.match(build.name, /^[0-9a-f]{8}$/)
        t.equal(
          (await import(join(build.root, 'dist', 'main.js'))).a,
          1,
          'the committed file, not the changed one in the folder'
        )
        return build.root
      },
      root
    )
    t.notOk(existsSync(join(folder, '..')), 'the folder of the worktree is removed')
    t.equal(worktrees(root), 1, 'the registration of the worktree is removed')
    t.ok(existsSync(join(modules, 'typescript')), 'the installed packages are still there')
  }
)

t.test('an unknown commit, or one that does not build, gives one clear sentence', { skip }, async (t) => {
  const root = repository(t, 'export const a: string = 1')
  const never = async () => t.fail('the build must fail')
  const unknown = '--against needs a commit of this repository, and "nowhere" is none'
  await t.rejects(withBuild('nowhere', never, root), { message: unknown })
  const line = /^[0-9a-f]{8} does not build: main\.ts\(1,14\): error TS2322: .*$/
  await t.rejects(withBuild('HEAD', never, root), { message: line })
  t.equal(worktrees(root), 1, 'the registration of the worktree is removed')
})

t.test('a killed run leaves no worktree behind', { skip }, async (t) => {
  const root = repository(t, 'export const a = 1')
  const script = `
    import { withBuild } from ${JSON.stringify(builds)}
    await withBuild('HEAD', (build) => new Promise(() => {
      console.log(build.root)
      setInterval(() => {}, 1000)
    }), ${JSON.stringify(root)})`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script])
  const [line] = await once(child.stdout, 'data')
  const folder = String(line).trim()
  t.ok(existsSync(folder))
  child.kill('SIGKILL')
  while (existsSync(join(folder, '..'))) await sleep(20)
  t.equal(worktrees(root), 1, 'the registration of the worktree is removed')
})

t.test("the CPU time may rise by 5 %, judged by the median of the rounds' ratios", async (t) => {
  t.capture(console, 'log')
  const report = new Report()
  const rounds = (times: readonly number[]) => times.map((cpu) => ({ rate: 1000, cpu }))
  const other = { name: 'other', rates: rounds([100, 200, 100, 200, 100]) }
  const measured = { unit: '/s', other }
  report.against('one', { ...measured, what: 'five more', rates: rounds([105, 210, 300, 90, 105]) })
  report.against('two', { ...measured, what: 'six more', rates: rounds([106, 212, 300, 90, 106]) })
  t.match(report.table(), /\| one \| five more \| 105 µs \| 100 µs other \| 1\.05 \(0\.45–3\.00\) \|.* ok \|/)
  t.match(report.table(), /\| two \| six more \| 106 µs \| 100 µs other \| 1\.06 .* SHORT \|/)
  t.equal(report.summary(), '1 of 2 figures hold; short: two (six more).')
})

/** Creates a repository with one commit that holds a module, and links this checkout's packages. */
function repository(t: Test, module: string): string {
  const root = mkdtempSync(join(tmpdir(), 'daybook-against-test-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  const compilerOptions = { module: 'NodeNext', outDir: 'dist', types: [] }
  writeFileSync(join(root, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
  writeFileSync(join(root, 'package.json'), JSON.stringify({ type: 'module' }))
  writeFileSync(join(root, 'main.ts'), module)
  git(root, 'init', '--quiet')
  git(root, 'add', ...readdirSync(root).filter((name) => name !== '.git'))
  git(root, '-c', 'user.name=test', '-c', 'user.email=test@localhost', 'commit', '--quiet', '-m', 'first')
  symlinkSync(modules, join(root, 'node_modules'))
  return root
}

function worktrees(root: string): number {
  return git(root, 'worktree', 'list', '--porcelain').match(/^worktree /gm)?.length ?? 0
}

function git(root: string, ...argv: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('git', argv, { cwd: root, encoding: 'utf8' })
  if (status !== 0) throw new Error(`git ${argv[0]}: ${stderr}`)
  return stdout
}
