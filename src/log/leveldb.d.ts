// The used part of the two packages. The published types of leveldown are not callable under NodeNext.
declare module 'leveldown' {
  function leveldown(location: string): leveldown.LevelDown

  namespace leveldown {
    function repair(location: string, callback: (error: Error | null | undefined) => void): void

    interface LevelDown {
      batch(): ChainedBatch
      approximateSize(from: Buffer, to: Buffer, callback: (error: Error | null, bytes: number) => void): void
      open(options: object, callback: (error: Error | null | undefined) => void): void
    }
    interface ChainedBatch {
      put(key: Buffer, value: Buffer): this
      del(key: Buffer): this
      write(options: { sync: boolean }, callback: (error: Error | null | undefined) => void): void
    }
  }
  export default leveldown
}

declare module 'levelup' {
  type Callback = (error: Error | null | undefined) => void

  function levelup(store: unknown, options: object, callback: Callback): levelup.LevelUp

  namespace levelup {
    interface LevelUp {
      getMany(keys: Buffer[], callback: (error: Error | null, values: (Buffer | undefined)[]) => void): void
      iterator(options: object): Iterator
      close(callback: Callback): void
      isOpen(): boolean
    }
    interface Iterator {
      next(callback: (error: Error | null, key?: Buffer, value?: Buffer) => void): void
      end(callback: Callback): void
    }
  }
  export default levelup
}
