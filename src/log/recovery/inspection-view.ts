/**
 * A view of a data directory: a folder with links to the files of its databases. When LevelDB opens a database, it
 * replays the write-ahead log, writes a new manifest and removes files that it no longer needs. In a view this affects
 * only the links, so the data directory stays unchanged.
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
const linkedDatabases = ['log', 'index', 'checkpoints'] as const

export class InspectionView {
  /** Path of the view. It has the layout of a data directory. */
  readonly directory: string
  /** The data directory. */
  readonly #root: string

  private constructor(root: string, directory: string) {
    this.#root = root
    this.directory = directory
  }

  /**
   * Creates a view in the data directory, or in the system's temporary folder when the data directory is not writable.
   * A database locked by another process is locked in the view too. The caller must `remove` the view.
   * @param root the data directory
   * @throws DaybookError `directory-unusable` when the view cannot be created
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
      throw new DaybookError('directory-unusable', `cannot inspect ${root}: ${(cause as Error).message}`, {}, cause)
    }
  }

  /** Replaces the path of the view in a text, such as an error message, by the path of the data directory. */
  named(text: string): string {
    return text.replaceAll(this.directory, this.#root)
  }

  /** Translates an error about a file of the view to the data directory. Returns an error of another kind unchanged. */
  errorOf(error: unknown): unknown {
    if (isDaybookError(error)) return new DaybookError(error.code, this.named(error.message), error.details, error)
    const { syscall, path = this.directory } = error as NodeJS.ErrnoException
    if (syscall === undefined) return error
    const advice = adviceFor(error)
    const why = `cannot inspect ${this.named(path)}: ${systemReason(error)}`
    return new DaybookError('directory-unusable', advice === undefined ? why : `${why}. ${advice}`, {}, error)
  }

  /** Removes the views that killed processes have left. To be called only while this view holds the lock of the log. */
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

/**
 * Links the files of a database, except LevelDB's file LOG: the LOG of the view must describe the opening of the view.
 */
function linkDatabase(from: string, to: string): void {
  const entries = existsSync(from) ? readdirSync(from, { withFileTypes: true }) : []
  if (entries.length === 0) return
  mkdirSync(to)
  for (const entry of entries) {
    if (entry.isDirectory() || /^LOG(\.old)?$/.test(entry.name)) continue
    // LevelDB opens LOCK for writing. If this one is read-only, the view needs a LOCK of its own.
    if (entry.name === 'LOCK' && !isWritable(join(from, 'LOCK'))) continue
    linkFile(join(from, entry.name), join(to, entry.name))
  }
}

/** Creates a hard link; a symbolic link if the file system has no hard links or the view is on another one. */
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
