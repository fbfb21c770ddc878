/**
 * A view of a data directory: its databases again, as links to the same files in a folder of their own. LevelDB changes a
 * database when it opens it: it replays the write-ahead log, writes a new manifest and removes what it no longer needs.
 * In a view it does that to the links, and the files of the directory stay as they are.
 */
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { DaybookError, isDaybookError, systemReason } from '../../errors.js'
import { adviceFor } from '../storage-faults.js'
import { witnessPath } from './evidence.js'

const PREFIX = 'inspection-'
/** The databases of a data directory. */
const linkedDatabases = ['log', 'index', 'checkpoints'] as const

export class InspectionView {
  /** A data directory of links. */
  readonly directory: string
  readonly #root: string

  private constructor(root: string, directory: string) {
    this.#root = root
    this.directory = directory
  }

  /**
   * Makes a view in the data directory, or in the system's folder for temporary files when nothing can be written there.
   * A lock that another process holds on a database holds for the view, too. Whoever makes a view removes it.
   * @param root the data directory
   * @throws `directory-unusable` when files can neither be linked nor read
   */
  static make(root: string): InspectionView {
    try {
      const directory = makeFolder(root)
      const view = new InspectionView(root, directory)
      try {
        for (const name of linkedDatabases) linkDatabase(join(root, name), join(directory, name))
        const witness = witnessPath(root, join(root, 'log'))
        if (existsSync(witness)) copyFileSync(witness, join(directory, basename(witness)))
        return view
      } catch (error) {
        view.remove()
        throw error
      }
    } catch (cause) {
      throw new DaybookError('directory-unusable', `cannot look at ${root}: ${(cause as Error).message}`, {}, cause)
    }
  }

  /** A text, such as an error message, with the names of the directory's files in place of those of the view. */
  named(text: string): string {
    return text.replaceAll(this.directory, this.#root)
  }

  /** An error of looking at the view, told of the directory; a bug stays as it is. */
  errorOf(error: unknown): unknown {
    if (isDaybookError(error)) return new DaybookError(error.code, this.named(error.message), error.details, error)
    const { syscall, path = this.directory } = error as NodeJS.ErrnoException
    if (syscall === undefined) return error
    const advice = adviceFor(error)
    const why = `cannot look at ${this.named(path)}: ${systemReason(error)}`
    return new DaybookError('directory-unusable', advice === undefined ? why : `${why}. ${advice}`, {}, error)
  }

  /** Removes what views of processes that were killed have left. Only while this view holds the lock of the log. */
  removeOthers(): void {
    for (const name of readdirSync(this.#root)) {
      const path = join(this.#root, name)
      if (name.startsWith(PREFIX) && resolve(path) !== resolve(this.directory)) rmSync(path, { recursive: true })
    }
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }
}

function makeFolder(root: string): string {
  try {
    return mkdtempSync(join(root, PREFIX))
  } catch (error) {
    if (!['EACCES', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    return mkdtempSync(join(tmpdir(), `daybook-${PREFIX}`))
  }
}

/** LOG, in which LevelDB says what it does, is not linked: the one of the view tells of the view's opening. */
function linkDatabase(from: string, to: string): void {
  const entries = existsSync(from) ? readdirSync(from, { withFileTypes: true }) : []
  if (entries.length === 0) return
  mkdirSync(to)
  for (const entry of entries) {
    if (entry.isDirectory() || /^LOG(\.old)?$/.test(entry.name)) continue
    if (entry.name === 'LOCK' && !isWritable(join(from, 'LOCK'))) continue // nobody can hold it
    linkFile(join(from, entry.name), join(to, entry.name))
  }
}

/** A hard link, or a symbolic one where the file system has none or the view stands on another. */
function linkFile(from: string, to: string): void {
  try {
    linkSync(realpathSync(from), to)
  } catch {
    symlinkSync(resolve(from), to)
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    accessSync(dirname(path), constants.W_OK)
    return true
  } catch {
    return false
  }
}
