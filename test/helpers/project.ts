/** Where the project's files are. Tests run from build/, and read documents, fixtures and sources of the project itself. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The project's folder: the nearest one above this file that has a package.json. */
export const root = projectRoot(import.meta.dirname)

/** Returns the absolute path of a file, given its path in the project. */
export function projectFile(path: string): string {
  return join(root, path)
}

/** Returns the absolute path of a compiled script, given the path of its source in the project. */
export function compiledScript(source: string): string {
  return join(root, 'build', source.replace(/\.ts$/, '.js'))
}

function projectRoot(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : projectRoot(dirname(folder))
}
