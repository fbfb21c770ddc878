/** Builds of Daybook: this checkout's, and another commit's for as long as the run lasts. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, realpathSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Build {
  /** Name of the build in figures. */
  readonly name: string
  /** Folder of the checkout; its `dist` is built. */
  readonly root: string
}

/** This checkout. `npm run bench` has built it. */
export const here: Build = { name: 'this checkout', root: fileURLToPath(new URL('../..', import.meta.url)) }

/**
 * Checks out a commit of a repository in a temporary folder, builds it there, and passes the build to `work`.
 * Afterwards the worktree's folder and registration are removed, even if this process is killed.
 * @param root folder of the repository's checkout, whose installed packages are used where they fit
 * @throws with one sentence about the failed build
 */
export async function withBuild<T>(commit: string, work: (build: Build) => Promise<T>, root = here.root): Promise<T> {
  const hash = resolveCommit(commit, root)
  const name = hash.slice(0, 8)
  const parent = mkdtempSync(join(tmpdir(), 'daybook-against-'))
  const folder = join(parent, name)
  const remover = new Remover(REMOVE_WORKTREE, [root, folder, parent])
  try {
    const added = run('git', ['worktree', 'add', '--detach', folder, hash], root)
    if (added.failed) throw new Error(`${name} cannot be checked out: ${added.lastLine}`)
    provideModules(name, folder, root)
    const built = run(process.execPath, [join(folder, 'node_modules', 'typescript', 'bin', 'tsc'), '-b'], folder)
    if (built.failed) throw new Error(`${name} does not build: ${built.firstLine}`)
    return await work({ name, root: folder })
  } finally {
    await remover.run()
  }
}

/**
 * Removes the link to installed packages first, so that nothing follows it. `--force` twice also removes an incomplete
 * worktree.
 */
const REMOVE_WORKTREE = `
if [ -L "$2/node_modules" ]; then rm -f "$2/node_modules"; fi
git -C "$1" worktree remove --force --force "$2"
rm -rf "$3"`

/**
 * A shell that runs a script on request, or when this process has ended: its standard input then ends, however this
 * process ended. Signals to this process's group do not reach it.
 */
class Remover {
  readonly #shell: ChildProcess
  readonly #ended: Promise<unknown>

  constructor(script: string, argv: readonly string[]) {
    this.#shell = spawn('sh', ['-c', `cat > /dev/null\n${script}`, 'sh', ...argv], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true
    })
    this.#ended = once(this.#shell, 'close')
  }

  async run(): Promise<void> {
    this.#shell.stdin?.end()
    await this.#ended
  }
}

function resolveCommit(commit: string, root: string): string {
  if (run('git', ['rev-parse', '--git-dir'], root).failed) throw new Error('--against needs a checkout made by git')
  const { failed, firstLine } = run(
    'git',
    ['rev-parse', '--verify', '--quiet', '--end-of-options', `${commit}^{commit}`],
    root
  )
  if (failed) throw new Error(`--against needs a commit of this repository, and "${commit}" is none`)
  return firstLine
}

/**
 * Uses the installed packages of `root` if both lock files are the same, else installs those of the commit's lock file.
 */
function provideModules(name: string, folder: string, root: string): void {
  const lockOf = (checkout: string) => {
    const path = join(checkout, 'package-lock.json')
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined
  }
  if (lockOf(folder) === lockOf(root)) {
    symlinkSync(realpathSync(join(root, 'node_modules')), join(folder, 'node_modules'))
    return
  }
  console.log(`${name} has another package-lock.json: its packages are installed.`)
  const installed = run('npm', ['ci', '--no-audit', '--no-fund'], folder)
  if (installed.failed) throw new Error(`the packages of ${name} cannot be installed: ${installed.firstLine}`)
}

interface Ended {
  readonly failed: boolean
  /** First line of the output: standard output, then standard error. */
  readonly firstLine: string
  readonly lastLine: string
}

function run(command: string, argv: readonly string[], cwd: string): Ended {
  const { status, error, stdout, stderr } = spawnSync(command, argv, { cwd, encoding: 'utf8' })
  const lines = `${stdout ?? ''}\n${stderr ?? ''}`.split('\n').filter((line) => line.trim() !== '')
  const said = error?.message ?? 'it said nothing'
  return { failed: status !== 0, firstLine: lines[0] ?? said, lastLine: lines.at(-1) ?? said }
}
