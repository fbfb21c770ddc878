import type { FastifyRequest } from 'fastify'

/** The methods that a path knows, for those who ask from another origin. Filled while routes are registered. */
export class KnownMethods {
  readonly #byUrl = new Map<string, Set<string>>()
  readonly #texts = new Map<string, string>()
  #sealed = false

  /** What is registered from now on refuses, and is no method that a path knows. */
  seal(): void {
    this.#sealed = true
  }

  add(url: string, methods: readonly string[]): void {
    if (this.#sealed) return
    const known = this.#byUrl.get(url) ?? new Set()
    for (const method of methods) known.add(method)
    this.#byUrl.set(url, known)
  }

  /** Methods by path, in the order they were registered. */
  entries(): IterableIterator<[string, ReadonlySet<string>]> {
    return this.#byUrl.entries()
  }

  /** `GET, POST, OPTIONS` of the path that a request matched. */
  of({ routeOptions: { url = '' } }: FastifyRequest): string {
    let text = this.#texts.get(url)
    if (text === undefined) {
      text = [...(this.#byUrl.get(url) ?? []), 'OPTIONS'].join(', ')
      this.#texts.set(url, text)
    }
    return text
  }
}
