/** LevelDB with nothing around it, as a limit. */
import leveldown from 'leveldown'

export interface Bare {
  open(options: object, callback: (error?: Error) => void): void
  close(callback: (error?: unknown) => void): void
  batch(): BareBatch
  iterator(options: object): {
    next(callback: (error: Error | null, key?: Buffer, value?: Buffer) => void): void
    end(callback: () => void): void
  }
}

export interface BareBatch {
  put(key: Buffer, value: Buffer): unknown
  write(options: { sync: boolean }, callback: (error?: Error) => void): void
}

/** With the memtable that Daybook uses. */
export async function openBare(directory: string): Promise<Bare> {
  const db = leveldown(directory) as unknown as Bare
  await new Promise<void>((resolve, reject) =>
    db.open({ createIfMissing: true, writeBufferSize: 16 * 1024 * 1024, cacheSize: 32 * 1024 * 1024 }, (error) =>
      error ? reject(error) : resolve()
    )
  )
  return db
}

/** One chained batch, synced. */
export function writeBatch(db: Bare, put: (batch: BareBatch) => void): Promise<void> {
  const batch = db.batch()
  put(batch)
  return new Promise((resolve, reject) => batch.write({ sync: true }, (error) => (error ? reject(error) : resolve())))
}

/** Reads every entry. @returns how many there were */
export function iterate(db: Bare, options: object): Promise<number> {
  const iterator = db.iterator({ highWaterMark: 256 * 1024, keyAsBuffer: true, valueAsBuffer: true, ...options })
  return new Promise((resolve, reject) => {
    let entries = 0
    const next = () =>
      iterator.next((error, key) => {
        if (error) return reject(error)
        if (key === undefined) return iterator.end(() => resolve(entries))
        entries++
        next()
      })
    next()
  })
}
