/** The command line as a user runs it: in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { compiledScript } from './project.js'

const MAIN = compiledScript('src/main.ts')

export interface Said {
  code: number | null
  stdout: string
  stderr: string
}

export interface CliOptions {
  env?: Record<string, string>
  input?: string | Buffer
  cwd?: string
  /** The number of files that the process may have open. */
  descriptors?: number
}

/** Runs a command to its end. */
export async function daybook(argv: readonly string[], options: CliOptions = {}): Promise<Said> {
  const child = start(argv, options)
  // A character may be split between two chunks.
  child.stdout?.setEncoding('utf8')
  child.stderr?.setEncoding('utf8')
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (chunk) => (stdout += chunk))
  child.stderr?.on('data', (chunk) => (stderr += chunk))
  child.stdin?.end(options.input)
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, stdout, stderr }
}

/** Starts a server. @returns the process, its first output and its address; rejects with the output if it ends first */
export function serve(
  argv: readonly string[],
  options: CliOptions = {}
): Promise<{ child: ChildProcess; banner: string; url: string }> {
  const child = start(argv, options)
  return new Promise((resolve, reject) => {
    let said = ''
    const listen = (chunk: Buffer) => {
      said += chunk
      const url = /https?:\/\/\S+/.exec(said)?.[0]
      if (url !== undefined && said.includes('\n')) resolve({ child, banner: said, url })
    }
    child.stdout?.on('data', listen)
    child.stderr?.on('data', listen)
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${said}`)))
  })
}

function start(argv: readonly string[], { env, cwd, descriptors }: CliOptions): ChildProcess {
  const words = [process.execPath, MAIN, ...argv]
  const limited = ['bash', '-c', `ulimit -n ${descriptors}; exec "$@"`, 'bash', ...words]
  const [command = '', ...rest] = descriptors === undefined ? words : limited
  // A setting of the tests: the command would warn that it does not know the variable.
  const { DAYBOOK_TEST_SCALE: _, ...inherited } = process.env
  return spawn(command, rest, { env: { ...inherited, ...env }, cwd, stdio: 'pipe' })
}

/** Starts a command. Its end can be awaited with `ends`. */
export function command(argv: readonly string[]): ChildProcess {
  return start(argv, {})
}

/** Waits for the end of a command. @returns its exit code and its standard error */
export async function ends(child: ChildProcess): Promise<{ code: number | null; stderr: string }> {
  let stderr = ''
  child.stderr?.on('data', (chunk) => (stderr += chunk))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stderr }
}

export async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20))
}
