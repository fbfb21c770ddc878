/** What an index is opened with. */
import type { Family } from '../log/format.js'
import type { CacheSizes } from '../memory/cache-sizes.js'
import type { ListName } from './posting.js'

export interface PostingsOptions {
  directory: string
  compression: boolean
  /** What decides the lists of a family beside the records, as text: with another rule it is made anew. */
  rules?: Partial<Record<Family, string>> | undefined
  /** Prefixes of names whose lists are counted, so that `all` notices when LevelDB hides one of them. */
  counted?: readonly ListName[] | undefined
  /** Undefined: those of the usual memory budget. */
  caches?: CacheSizes | undefined
  /** Aborted: the opening ends with its reason. What takes long goes on at the next opening. */
  signal?: AbortSignal | undefined
}
